"""A lease that has ended is charged as it was made, once; what never went up is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from extproc.recorder import Event, Recorder
from policies.limits import reaper as module
from policies.limits.limit import Limit
from policies.limits.memory_store import MemoryStore
from policies.limits.reaper import Reaper, charged
from policies.limits.registry import Change
from policies.limits.store import Overdue, StoreUnavailableError, Used
from policies.limits.subjects import EVERYONE, parse
from tests.policies.limits.failing_store import FailingStore, Fate
from tests.policies.limits.memory_registry import MemoryRegistry
from tests.policies.limits.world import NOW, ask, demand, limit

TPD = limit("tokens_per_day", 10**6, "contoso/user=alice")
PARALLEL = limit("parallel_requests", 5, "contoso/user=alice")
OF_ALL = limit("tokens_per_day", 10**6, "everyone")


class World:
    """A store and a registry with one clock, which stands at the end of a lease of a minute."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = FailingStore(MemoryStore(lambda: self.now))
        self.registry = MemoryRegistry(lambda: self.now / 1000)
        self.registry.names["contoso"] = "Contoso"
        self.events: list[Event] = []
        recorder = Recorder()
        recorder.keep(self.events.append, self._written)
        self.reaper = Reaper(self.store, self.registry, recorder)

    async def _written(self) -> None:
        return None

    def reserve(
        self, id: str, *limits: Limit, tenant: str = "contoso", request_id: str = "", lease: float = 60.0
    ) -> None:
        demands = [demand(of, 1 if of is PARALLEL else 100) for of in limits]
        asked = ask(*demands, id=id, tenant=tenant, request_id=request_id, lease=lease)
        assert self.store.store.reserve_now(asked).admitted

    def used(self, of: Limit = TPD) -> int:
        counter = self.store.store.counter(of.key, of.rule.kind.counter)
        return counter.current if counter is not None else 0

    def told(self) -> tuple[int, int]:
        """Leases that expired, and that were given back."""
        counters = self.reaper.counters()
        return counters["leases_expired"], counters["leases_returned"]


async def test_a_lease_that_has_ended_is_charged_as_it_was_made(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.reserve("a", TPD, PARALLEL)
    assert await world.reaper.reap() == 0
    world.now += 59_999
    assert await world.reaper.reap() == 0
    world.now += 1
    assert await world.reaper.reap() == 1
    # Its place among the parallel ones is free again.
    assert (world.used(), world.used(PARALLEL)) == (100, 0)
    assert await world.reaper.reap() == 0
    assert world.told() == (1, 0)
    assert [record.message for record in caplog.records] == [
        "reservation a of tenant contoso was never settled: it is charged as it was made"
    ]


async def test_what_was_settled_is_left_alone() -> None:
    world = World()
    world.reserve("a", TPD)
    world.store.store.settle_now("contoso", "a", Used(1, 17))
    world.now += 60_000
    assert await world.reaper.reap() == 0
    assert world.used() == 17


async def test_a_settlement_that_comes_late_still_corrects_it() -> None:
    world = World()
    world.reserve("a", TPD, PARALLEL)
    world.now += 60_000
    await world.reaper.reap()
    assert world.store.store.settle_now("contoso", "a", Used(1, 17))
    assert (world.used(), world.used(PARALLEL)) == (17, 0)


@pytest.mark.parametrize(
    ("request_id", "witnessed", "used", "told"),
    [
        ("q1", "q1", 0, (0, 1)),
        ("q1", "q2", 100, (1, 0)),
        ("q1", "", 100, (1, 0)),
        # Without an id nobody can have seen it end.
        ("", "", 100, (1, 0)),
    ],
)
async def test_what_never_went_up_is_given_back(
    request_id: str, witnessed: str, used: int, told: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.reserve("a", TPD, PARALLEL, request_id=request_id)
    await world.registry.witness(witnessed, 180)
    world.now += 60_000
    assert await world.reaper.reap() == 1
    assert (world.used(), world.used(PARALLEL)) == (used, 0)
    assert world.told() == told
    assert len(caplog.records) == told[0]


async def test_every_tenant_is_looked_at_and_everyone() -> None:
    world = World()
    others = [limit("tokens_per_day", 10**6, f"t{number}") for number in range(3)]
    for number, of in enumerate(others):
        world.registry.names[f"t{number}"] = ""
        world.reserve("a", of, tenant=f"t{number}")
    world.reserve("a", OF_ALL, tenant=EVERYONE)
    world.now += 60_000
    assert await world.reaper.reap() == 4
    assert [world.used(of) for of in (*others, OF_ALL)] == [100] * 4
    assert world.told() == (4, 0)


async def test_more_tenants_than_are_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PER_SECOND", 10**6)
    world = World()
    for number in range(250):
        world.registry.names[f"t{number}"] = ""
        world.reserve("a", limit("tokens_per_day", 10**6, f"t{number}"), tenant=f"t{number}")
    world.now += 60_000
    assert await world.reaper.reap() == 250


async def test_more_leases_than_are_ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; a hundred at a time, some hundreds in a row, and the rest in the next round."""
    monkeypatch.setattr(module, "_IN_A_ROW", 2)
    world = World()
    for number in range(230):
        world.reserve(f"r{number}", TPD, lease=230 - number)
    world.now += 230_000
    assert [await world.reaper.reap() for _ in range(3)] == [200, 30, 0]
    assert world.told() == (230, 0)
    ended = [call for call in world.store.calls if call.startswith("expire")]
    assert ended[:2] == ["expire r229", "expire r228"]


async def test_two_that_reap_at_once_charge_once() -> None:
    """The office can change hands in the middle of a round."""
    world = World()
    other = Reaper(world.store, world.registry)
    for number in range(10):
        world.reserve(f"r{number}", TPD, request_id=f"q{number}")
    for number in range(4):
        await world.registry.witness(f"q{number}", 180)
    world.now += 60_000
    await asyncio.gather(world.reaper.reap(), other.reap())
    assert world.used() == 600
    totals = [sum(counts) for counts in zip(world.reaper.counters().values(), other.counters().values(), strict=True)]
    assert totals == [6, 4]


async def test_what_fails_for_one_tenant_keeps_no_other_waiting() -> None:
    world = World()
    fine = limit("tokens_per_day", 10**6, "fabrikam")
    world.registry.names["fabrikam"] = ""
    world.reserve("a", TPD)
    world.reserve("b", fine, tenant="fabrikam")
    world.store.tenants_away.add("contoso")
    world.now += 60_000
    with pytest.raises(StoreUnavailableError):
        await world.reaper.reap()
    assert world.told() == (1, 0)
    assert "overdue contoso" in world.store.calls
    world.store.tenants_away.clear()
    assert await world.reaper.reap() == 1
    assert world.told() == (2, 0)


async def test_a_store_that_is_away_is_not_asked_for_every_tenant() -> None:
    world = World()
    world.registry.names = {f"t{number}": "" for number in range(1_000)}
    world.store.usual = Fate.FAILED
    with pytest.raises(StoreUnavailableError):
        await world.reaper.reap()
    assert len(world.store.calls) == 100


async def test_an_answer_that_was_lost_is_no_charge_more() -> None:
    world = World()
    world.reserve("a", TPD, request_id="q1")
    await world.registry.witness("q1", 180)
    world.now += 60_000
    world.store.fates = iter([Fate.ANSWERED, Fate.ANSWERED, Fate.LOST])
    with pytest.raises(StoreUnavailableError):
        await world.reaper.reap()
    assert await world.reaper.reap() == 0
    assert world.used() == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_of_all_workers_reaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUND", 0.001)
    world = World()
    one, other = world.reaper, Reaper(world.store, world.registry)
    one.start()
    await until(lambda: "overdue contoso" in world.store.calls)
    other.start()
    await until(lambda: world.registry.calls.count("elected") > 10)
    world.reserve("a", TPD)
    world.now += 5_000
    await until(lambda: world.registry.calls.count("elected") > 20)
    one.stop()
    # The other takes over when the office of the one has ended.
    world.now += 55_000
    await until(lambda: other.counters()["leases_expired"] == 1)
    assert one.counters()["leases_expired"] == 0
    other.stop()
    assert world.used() == 100


@pytest.mark.parametrize("fate", [Fate.FAILED, Fate.BROKEN])
async def test_it_goes_on_after_a_failure(
    fate: Fate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ROUND", 0.001)
    world = World()
    world.reserve("a", TPD)
    world.now += 60_000
    world.store.fates = iter([fate, fate])
    world.reaper.start()
    await until(lambda: world.told() == (1, 0))
    world.reaper.stop()
    failures = [record.message for record in caplog.records if "reaping" in record.message]
    # That a store is away, others say.
    assert failures == ([] if fate is Fate.FAILED else ["reaping failed: RuntimeError"])


async def test_a_registry_that_is_away_stops_no_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUND", 0.001)
    world = World()
    world.reserve("a", TPD)
    world.now += 60_000
    world.registry.away = True
    world.reaper.start()
    await until(lambda: len(world.registry.calls) > 3)
    assert world.told() == (0, 0)
    world.registry.away = False
    await until(lambda: world.told() == (1, 0))
    world.reaper.stop()


async def test_stopping_what_was_never_started() -> None:
    Reaper(World().store, MemoryRegistry()).stop()


async def test_a_lease_that_has_ended_is_told_of_once() -> None:
    world = World()
    world.reserve("a", TPD, request_id="q1")
    world.reserve("b", TPD)
    await world.reaper.reap()
    assert world.events == []
    world.now += 60_000
    await world.reaper.reap()
    await world.reaper.reap()
    whose = {"tenant_id": "contoso", "tenant": "Contoso", "user_id": "alice", "tokens": "100"}
    values = [{**whose, "reservation_id": one, "request_id": asked} for one, asked in (("a", "q1"), ("b", ""))]
    assert sorted(world.events, key=lambda event: event.of) == [
        Event("limit.lease_expired", values[0], "contoso/a"),
        Event("limit.lease_expired", values[1], "contoso/b"),
    ]


@pytest.mark.parametrize(
    ("reserved", "subjects", "values"),
    [
        (Used(1, 90, 1_234), ["t-1"], {"requests": "1", "tokens": "90", "dollars": "1234"}),
        (
            Used(0, 5),
            ["t-1/user=alice", "t-1/user=alice,model=gpt-4o", "t-1/department=R%26D"],
            {"tokens": "5", "user_id": "alice", "model": "gpt-4o", "department": "R&D"},
        ),
        (
            Used(1),
            ["t-1/app=chat,agent=kb", "t-1/session=s 1"],
            {"requests": "1", "app_id": "chat", "route": "kb", "session_id": "s 1"},
        ),
        (Used(1), ["everyone"], {"requests": "1"}),
        # Its name is too long for a key.
        (Used(1), [f"t-1/session={'s' * 500}"], {"requests": "1"}),
        (Used(), [], {}),
    ],
)
def test_what_a_lease_is_charged_and_to_whom(reserved: Used, subjects: list[str], values: dict[str, str]) -> None:
    keys = tuple(parse(subject).key() for subject in subjects)
    assert charged(Overdue("t-1", "a", "q1", reserved, keys)) == values
    # Another version's keys.
    assert charged(Overdue("t-1", "a", "q1", reserved, ("riddle", *keys))) == values


async def test_what_was_given_back_or_settled_is_nothing_to_tell_of() -> None:
    world = World()
    for name in ("a", "b"):
        world.reserve(name, TPD, request_id=f"q-{name}")
    world.store.store.settle_now("contoso", "a", Used(1, 17))
    await world.registry.witness("q-b", 180)
    world.now += 60_000
    await world.reaper.reap()
    assert (world.events, world.told()) == ([], (0, 1))


async def test_without_a_record_leases_end_all_the_same() -> None:
    world = World()
    world.reserve("a", TPD)
    world.now += 60_000
    assert await Reaper(world.store, world.registry).reap() == 1
    assert (world.events, world.used()) == ([], 100)


async def test_who_reaps_tells_what_operators_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUND", 0.001)
    world = World()
    world.registry.history.append(Change(1.0, "ops", "set", "contoso", "tokens_per_day", None, 5, "1-0"))
    other = Reaper(world.store, world.registry)
    world.reaper.start()
    await until(lambda: world.registry.last_told == "1-0")
    other.start()
    world.reaper.stop()
    other.stop()
    assert [(event.name, event.of) for event in world.events] == [("limit.changed", "1-0")]
