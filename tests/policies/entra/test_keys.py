"""The key cache: one fetch for all who wait, cool-down, last known good, recovery; and never waiting for a known key."""

from __future__ import annotations

import asyncio

import pytest

from policies.entra.issuer import KeyPlace
from policies.entra.jwks import Key, Keys
from policies.entra.keys import DUE, UNKNOWN, KeyCache, KeyTimes, Unavailable
from tests.entra_tokens import CONTOSO, FABRIKAM, Issuer
from tests.policies.entra.world import NOW, Clock, FakeSource, keys_of, until

HOME = KeyPlace(CONTOSO, "2.0")
OTHER = KeyPlace(FABRIKAM, "2.0")


class Cache(KeyCache):
    """A cache over a fake source and a clock set by hand, with the jitter in the middle."""

    def __init__(self, times: KeyTimes = KeyTimes()) -> None:  # noqa: B008  (frozen)
        self.clock = Clock()
        self.issuer = Issuer()
        self.source = FakeSource(self.issuer)
        super().__init__(self.source, (HOME, OTHER), times, self.clock, jitter=lambda: 0.5)


async def _filled(times: KeyTimes = KeyTimes()) -> Cache:  # noqa: B008
    cache = Cache(times)
    await cache.refresh(HOME)
    return cache


async def test_a_key_is_found_once_it_was_fetched() -> None:
    cache = Cache()
    assert cache.find(HOME, "key-1", NOW) is DUE
    await cache.refresh(HOME)
    key = cache.find(HOME, "key-1", NOW)
    assert isinstance(key, Key)
    assert cache.holds(HOME, key, NOW)
    assert not cache.holds(OTHER, key, NOW), "tenants are apart"
    assert cache.find_now(OTHER, "key-1", NOW) == Unavailable(1.0, "not fetched yet")


async def test_single_flight() -> None:
    cache = Cache()
    cache.source.held = asyncio.Event()
    waiting = [asyncio.ensure_future(cache.refresh(HOME)) for _ in range(50)]  # noqa: TID251  (the test awaits them)
    await until(lambda: cache.source.fetched == [HOME])
    assert cache.find(HOME, "key-1", NOW) is DUE, "who comes later joins"
    cache.source.held.set()
    await asyncio.gather(*waiting)
    assert cache.source.fetched == [HOME]


async def test_a_caller_who_gives_up_takes_nobody_along() -> None:
    cache = Cache()
    cache.source.held = asyncio.Event()
    one, two = (asyncio.ensure_future(cache.refresh(HOME)) for _ in range(2))  # noqa: TID251
    await until(lambda: bool(cache.source.fetched))
    one.cancel()
    cache.source.held.set()
    await two
    assert isinstance(cache.find_now(HOME, "key-1", NOW), Key)
    assert one.cancelled()


async def test_a_known_key_does_not_wait_for_a_running_refresh() -> None:
    cache = await _filled()
    cache.source.held = asyncio.Event()
    refresh = asyncio.ensure_future(cache.refresh(HOME))  # noqa: TID251
    await until(lambda: len(cache.source.fetched) == 2)
    assert isinstance(cache.find(HOME, "key-1", NOW), Key)
    assert cache.find(HOME, "key-2", NOW) is DUE, "an unknown one joins it"
    cache.source.held.set()
    await refresh
    assert len(cache.source.fetched) == 2


async def test_an_unknown_key_is_asked_for_once_in_a_cool_down() -> None:
    cache = await _filled(KeyTimes(cooldown=300))
    assert cache.find(HOME, "key-2", NOW) is DUE
    await cache.refresh(HOME)
    assert cache.find_now(HOME, "key-2", NOW) is UNKNOWN
    for n in range(100):
        assert cache.find(HOME, f"junk-{n}", NOW + 299) is UNKNOWN
    cache.issuer.keys = ["key-1", "key-2"]
    assert cache.find(HOME, "key-2", NOW + 299) is UNKNOWN
    assert cache.find(HOME, "key-2", NOW + 300) is DUE
    await cache.refresh(HOME)
    assert isinstance(cache.find_now(HOME, "key-2", NOW + 300), Key)


async def test_the_cool_down_of_one_tenant_is_not_that_of_another() -> None:
    cache = await _filled()
    await cache.refresh(OTHER)
    assert cache.find(HOME, "junk", NOW) is DUE
    assert cache.find(OTHER, "junk", NOW) is DUE


async def test_rotation_keeps_the_old_key_as_long_as_it_is_published() -> None:
    cache = await _filled()
    old = cache.find_now(HOME, "key-1", NOW)
    cache.issuer.keys = ["key-2", "key-1"]
    await cache.refresh(HOME)
    assert cache.find_now(HOME, "key-1", NOW) is old, "the same object: what it verified stays verified"
    assert isinstance(old, Key)
    cache.issuer.keys = ["key-2"]
    await cache.refresh(HOME)
    assert cache.find_now(HOME, "key-1", NOW) is UNKNOWN
    assert not cache.holds(HOME, old, NOW)


async def test_another_key_under_the_same_id_is_another_key() -> None:
    cache = await _filled()
    old = cache.find_now(HOME, "key-1", NOW)
    entry = cache.issuer.jwk("key-2", kid="key-1", issuer=cache.issuer.issuer(CONTOSO))
    cache.issuer.jwks = lambda *_: {"keys": [entry]}  # type: ignore[method-assign]
    await cache.refresh(HOME)
    assert isinstance(old, Key)
    assert not cache.holds(HOME, old, NOW)


async def test_the_last_known_good_keys_outlive_a_failure_but_not_their_age() -> None:
    cache = await _filled(KeyTimes(max_age=86_400))
    cache.source.down = True
    cache.clock.now = NOW + 86_399
    await cache.refresh(HOME)
    key = cache.find(HOME, "key-1", cache.clock.now)
    assert isinstance(key, Key)
    assert cache.holds(HOME, key, cache.clock.now)
    cache.clock.now += 1
    assert not cache.holds(HOME, key, cache.clock.now)
    assert cache.find(HOME, "key-1", cache.clock.now) is not key


async def test_an_unknown_key_while_the_provider_is_down_is_not_the_callers_fault() -> None:
    cache = await _filled()
    cache.source.down = True
    assert cache.find(HOME, "key-2", NOW) is DUE
    await cache.refresh(HOME)
    assert isinstance(cache.find_now(HOME, "key-2", NOW), Unavailable)
    assert isinstance(cache.find(HOME, "key-2", NOW), Unavailable)
    assert isinstance(cache.find(HOME, "key-1", NOW), Key)


async def test_without_keys_the_provider_is_asked_again_with_back_off() -> None:
    cache = Cache()
    cache.source.down = True
    waits = []
    for _ in range(8):
        assert cache.find(HOME, "key-1", cache.clock.now) is DUE
        await cache.refresh(HOME)
        found = cache.find(HOME, "key-1", cache.clock.now)
        assert isinstance(found, Unavailable), "not again at once"
        assert found.error == "provider is down"
        assert found.retry_after >= 1
        waits.append(found.retry_after)
        cache.clock.now += found.retry_after
    assert waits == sorted(waits)
    assert waits[0] == 1
    assert waits[-1] == 22.5, "half a minute at most, with jitter"
    cache.source.down = False
    assert cache.find(HOME, "key-1", cache.clock.now) is DUE
    await cache.refresh(HOME)
    assert isinstance(cache.find_now(HOME, "key-1", cache.clock.now), Key)


async def test_an_unexpected_error_of_the_source_is_a_failure_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache()

    async def broken(place: KeyPlace) -> Keys:
        raise ZeroDivisionError(place)

    cache.source.fetch = broken  # type: ignore[method-assign]
    await cache.refresh(HOME)
    await asyncio.sleep(0)
    assert isinstance(cache.find(HOME, "key-1", NOW), Unavailable)
    assert "ZeroDivisionError" in caplog.text


async def test_failure_and_recovery_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    cache = Cache()
    cache.source.down = True
    for _ in range(3):
        await cache.refresh(HOME)
    cache.source.down = False
    for _ in range(2):
        await cache.refresh(HOME)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_readiness_says_what_is_missing() -> None:
    cache = Cache()
    assert cache.lacking(NOW) == f"no signing keys of {CONTOSO} (version 2.0): not fetched yet"
    cache.source.down = True
    await cache.refresh(OTHER)
    assert cache.lacking(NOW) == f"no signing keys of {FABRIKAM} (version 2.0): provider is down"
    cache.source.down = False
    await cache.refresh(OTHER)
    assert cache.lacking(NOW) is None
    assert cache.lacking(NOW + 86_400) is not None


async def test_the_keepers_fetch_at_start_and_refresh_when_due() -> None:
    cache = Cache(KeyTimes(refresh=100))
    cache.start()
    await until(lambda: sorted(cache.source.fetched) == sorted([HOME, OTHER]))
    await until(lambda: cache.find_now(OTHER, "key-1", NOW) is not UNKNOWN)
    cache.issuer.keys = ["key-2"]
    cache.clock.now += 100
    for place in (HOME, OTHER):
        cache._places[place].changed.set()  # the keepers sleep in real time: let them look at the clock
    await until(lambda: isinstance(cache.find_now(HOME, "key-2", cache.clock.now), Key))
    await cache.stop()
    assert cache.source.closed


async def test_a_clock_that_is_set_back_keeps_no_withdrawn_key_alive() -> None:
    cache = Cache(KeyTimes(refresh=0.05))
    assert cache.find(HOME, "key-9", NOW) is DUE
    cache.start()
    await until(lambda: isinstance(cache.find_now(HOME, "key-1", cache.clock.now), Key))
    assert cache.find(HOME, "key-9", NOW) is DUE
    cache.clock.now -= 31_536_000
    cache.issuer.keys = ["key-2"]
    await until(lambda: isinstance(cache.find_now(HOME, "key-2", cache.clock.now), Key))
    assert cache.find_now(HOME, "key-1", cache.clock.now) is UNKNOWN
    assert isinstance(cache.find_now(HOME, "key-2", cache.clock.now + 86_500), Unavailable), "trusted no longer than ever"
    assert cache.find(HOME, "key-9", cache.clock.now + 301) is DUE, "unknown keys are looked for as ever"
    await cache.stop()


async def test_the_keepers_recover_by_themselves() -> None:
    clock_now = asyncio.get_running_loop().time
    issuer = Issuer()
    source = FakeSource(issuer)
    source.down = True
    # Jitter of -0.99 makes the first back-off 5 ms of real time.
    cache = KeyCache(source, (HOME,), KeyTimes(), lambda: NOW + clock_now(), jitter=lambda: -0.99)
    cache.start()
    await until(lambda: len(source.fetched) >= 2)
    source.down = False
    await until(lambda: cache.lacking(NOW + clock_now()) is None)
    await cache.stop()


async def test_stopping_in_the_middle_of_a_fetch_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache()
    cache.source.held = asyncio.Event()
    cache.start()
    await until(lambda: bool(cache.source.fetched))
    await cache.stop()
    assert caplog.records == []


def test_the_fake_source_answers_like_a_real_one() -> None:
    assert set(keys_of(Issuer(keys=["key-1", "key-2"]), HOME)) == {"key-1", "key-2"}


async def test_the_age_of_keys_is_that_of_the_place_that_was_longest_without() -> None:
    cache = Cache(KeyTimes(refresh=3_600))
    assert cache.age(NOW) == 0
    cache.source.down = True
    cache.start()
    try:
        await until(lambda: len(cache.source.fetched) == 2)
        # Never fetched: since the start.
        assert cache.age(NOW + 10) == 10
        cache.source.down = False
        cache.clock.now = NOW + 20
        await cache.refresh(HOME)
        assert cache.age(NOW + 25) == 25
        await cache.refresh(OTHER)
        assert cache.age(NOW + 25) == 5
        # The clock was set back.
        assert cache.age(NOW) == 0
        cache.source.down = True
        cache.clock.now = NOW + 7_200
        await cache.refresh(HOME)
        assert cache.age(NOW + 7_220) == 7_200
    finally:
        await cache.stop()
