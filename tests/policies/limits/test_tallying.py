"""Counters as who keeps the record compares them: whose they are, of which day or month, and what they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.tally import Tally
from policies.limits.limit import KINDS, Window
from policies.limits.settings import LimitsSettings
from policies.limits.subjects import EVERYONE, Level, Subject
from policies.limits.tallying import asked, bounds, first_seen, subject_of, tallies, tally
from policies.limits.windows import Counter, window_at, zone_at
from tests.policies.limits.stocked import TENANT, stock
from tests.redis_servers import RedisServer

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"),
    *("America/Havana", "Asia/Beirut", "Pacific/Apia"),
)
"""Half hours, changes at midnight, midnights that are not or that are twice."""
UTC_ZONE = ZoneInfo("UTC")
DAY, MONTH = KINDS["tokens_per_day"], KINDS["tokens_per_month"]
CONTOSO = Subject("contoso")


def number(window: Window, at: datetime, zone: str) -> int:
    """The number under which the counters have this moment."""
    milliseconds = int(at.timestamp() * 1000)
    return window_at(window, milliseconds, zone_at(ZoneInfo(zone), milliseconds))[0]


@pytest.mark.parametrize(
    ("window", "zone", "noon", "start", "hours"),
    [
        (Window.DAY, "UTC", "2026-03-29", "2026-03-29T00:00", 24),
        (Window.DAY, "Europe/Berlin", "2026-03-28", "2026-03-27T23:00", 24),
        (Window.DAY, "Europe/Berlin", "2026-03-29", "2026-03-28T23:00", 23),
        (Window.DAY, "Europe/Berlin", "2026-10-25", "2026-10-24T22:00", 25),
        (Window.DAY, "Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30", 23.5),
        # Clocks go forward at midnight: the day begins at one.
        (Window.DAY, "Africa/Cairo", "2026-04-24", "2026-04-23T22:00", 23),
        # And back after midnight: it is midnight twice.
        (Window.DAY, "America/Havana", "2026-11-01", "2026-11-01T04:00", 25),
        (Window.MONTH, "UTC", "2028-02-10", "2028-02-01T00:00", 29 * 24),
        (Window.MONTH, "Europe/Berlin", "2026-03-10", "2026-02-28T23:00", 31 * 24 - 1),
        (Window.MONTH, "Europe/Berlin", "2026-10-10", "2026-09-30T22:00", 31 * 24 + 1),
        (Window.MONTH, "America/New_York", "2026-12-10", "2026-12-01T05:00", 31 * 24),
    ],
)
def test_days_and_months(window: Window, zone: str, noon: str, start: str, hours: float) -> None:
    at = datetime.fromisoformat(f"{noon}T12:00").replace(tzinfo=ZoneInfo(zone))
    begins, ends = bounds(window, number(window, at, zone), ZoneInfo(zone))
    assert begins == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert ends - begins == timedelta(hours=hours)


@given(
    st.sampled_from(ZONES),
    st.sampled_from([Window.DAY, Window.MONTH]),
    st.integers(1_704_067_200_000, 1_956_528_000_000),
)
def test_every_moment_lies_in_the_window_in_which_it_is_counted(zone: str, window: Window, now: int) -> None:
    here = ZoneInfo(zone)
    found, left = window_at(window, now, zone_at(here, now))
    start, end = (int(one.timestamp() * 1000) for one in bounds(window, found, here))
    assert start <= now < end
    assert end - now == left


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("window", "first", "last"), [(Window.DAY, 19_723, 22_645), (Window.MONTH, 24_288, 24_384)])
def test_windows_follow_each_other_without_a_gap(zone: str, window: Window, first: int, last: int) -> None:
    found = [bounds(window, one, ZoneInfo(zone)) for one in range(first, last)]
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert all(start < end for start, end in found)


VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WITHIN = st.sampled_from([Level.DEPARTMENT, Level.USER, Level.APP, Level.MODEL, Level.AGENT, Level.SESSION])


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    levels = sorted(draw(st.sets(WITHIN, max_size=2)), key=list(Level).index)
    tenant = draw(st.one_of(VALUES.filter(lambda text: text != EVERYONE), st.just("everyone")))
    return Subject(tenant, tuple((level, draw(VALUES)) for level in levels))


@given(subjects())
def test_a_key_says_whose_it_is(subject: Subject) -> None:
    if "#" not in subject.key():
        assert subject_of(subject.key()) == subject


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("sg:{*}:s:everyone", Subject(EVERYONE)),
        ("sg:{contoso}:s:tenant", CONTOSO),
        ("sg:{contoso}:s:user=a%2Cb", Subject("contoso", ((Level.USER, "a,b"),))),
        ("sg:{everyone}:s:tenant", Subject("everyone")),
        (Subject("t" * 200).key(), None),
        ("sg:{contoso}:s:riddle=x", None),
        ("sg:{contoso}:s:user", None),
        ("sg:{contoso}:s:user=%FF", None),
        ("sg:{contoso}:leases", None),
        ("", None),
    ],
)
def test_keys(key: str, subject: Subject | None) -> None:
    assert subject_of(key) == subject


@pytest.mark.parametrize(
    ("subject", "whose", "name"),
    [
        (Subject(EVERYONE), {}, "everyone tokens_per_day"),
        (CONTOSO, {"tenant_id": "contoso"}, "contoso tokens_per_day"),
        (
            Subject("t", ((Level.USER, "a"), (Level.MODEL, "o3"))),
            {"tenant_id": "t", "user_id": "a", "model": "o3"},
            "t/user=a,model=o3 tokens_per_day",
        ),
        (
            Subject("t", ((Level.DEPARTMENT, "R&D"), (Level.APP, "x"))),
            {"tenant_id": "t", "department": "R&D", "app_id": "x"},
            "t/department=R%26D,app=x tokens_per_day",
        ),
        (
            Subject("t", ((Level.AGENT, "kb"), (Level.SESSION, "s"))),
            {"tenant_id": "t", "route": "kb", "session_id": "s"},
            "t/agent=kb,session=s tokens_per_day",
        ),
    ],
)
def test_what_a_record_calls_them(subject: Subject, whose: dict[str, str], name: str) -> None:
    found = tally(subject, DAY, Counter(20_000, 70, 5, 3, 0, 30), UTC_ZONE)
    begins = datetime(2024, 10, 4, tzinfo=UTC)
    assert found == Tally(whose, "tokens", begins, begins + timedelta(days=1), 70, 30, name)


def test_what_was_set_back() -> None:
    found = tally(CONTOSO, MONTH, Counter(24_310, 70, generation=2), UTC_ZONE)
    assert found is not None
    assert found.was_reset


@pytest.mark.parametrize("kind", [DAY, MONTH])
@pytest.mark.parametrize("window", [0, 10**9])
def test_a_counter_of_no_day_is_left_out(kind: Any, window: int) -> None:
    """One that was set back and not used since is in the window of number 0: for months, that is in no calendar."""
    found = tally(CONTOSO, kind, Counter(window, 0, generation=1), UTC_ZONE)
    assert found is None or found.end < datetime(1971, 1, 1, tzinfo=UTC)


def test_hashed_values_are_left_out() -> None:
    hashed = subject_of(Subject("t", ((Level.USER, "u" * 200),)).key())
    assert hashed is not None
    assert tally(hashed, DAY, Counter(20_000, 70), UTC_ZONE) is None


def configured(*limits: dict[str, Any], **more: Any) -> LimitsSettings:
    return LimitsSettings.model_validate({"redis": {"url": "unix:///none"}, "limits": limits} | more)


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ([{"subject": "user", "tokens_per_day": 5, "requests_per_minute": 5, "parallel_requests": 5}], {"user": False}),
        ([{"subject": "user", "match": {"role": "Lead"}, "tokens_per_day": 5}], {"user": True}),
        # An entry for everybody beside one for some.
        (
            [
                {"subject": "user", "match": {"role": "Lead"}, "tokens_per_day": 5},
                {"subject": "user", "tokens_per_day": 1},
            ],
            {"user": False},
        ),
        # What the subject itself tells, is so for all of its exchanges.
        ([{"subject": "user", "match": {"tenant": "fab*", "user": "a*"}, "tokens_per_day": 5}], {"user": False}),
        ([{"subject": "tenant", "match": {"tenant": "fab*"}, "tokens_per_day": 5}], {"tenant": False}),
        ([{"subject": "everyone", "match": {"tenant": "fab*"}, "tokens_per_day": 5}], {"everyone": True}),
        ([{"subject": ["user", "model"], "match": {"model": "o*"}, "tokens_per_day": 5}], {"user,model": False}),
        ([{"subject": "user", "match": {"model": "o*"}, "tokens_per_day": 5}], {"user": True}),
    ],
)
def test_which_counters_there_are(limits: list[dict[str, Any]], found: dict[str, bool]) -> None:
    told = {",".join(levels): sometimes for levels, _, sometimes in asked(configured(*limits))}
    assert told == found


def test_each_kind_is_asked_once() -> None:
    entry = {"subject": "tenant", "tokens_per_day": 5, "tokens_per_month": 9}
    assert [kind.name for _, kind, _ in asked(configured(entry, {**entry, "tokens_per_day": 7}))] == [
        "tokens_per_day",
        "tokens_per_month",
    ]


@pytest.mark.parametrize(
    ("tenants", "since", "found"),
    [
        (["a", "b"], {"a": 2_000, "b": 1_000}, {"a": 2, "b": 1, EVERYONE: 1}),
        # Of all together it is known only if it is of each.
        (["a", "b"], {"a": 2_000}, {"a": 2}),
        (["a"], {}, {}),
        ([], {}, {}),
    ],
)
def test_when_they_were_first_seen(tenants: list[str], since: dict[str, int], found: dict[str, int]) -> None:
    assert {tenant: at.timestamp() for tenant, at in first_seen(tenants, since).items()} == found


async def told(server: RedisServer, *limits: dict[str, Any], zone: str = "UTC") -> dict[str, Tally]:
    """All tallies of a server, by their names."""
    redis = {"url": server.address, "timeout": 5.0}
    found = [one async for one in tallies(configured(*limits, redis=redis, time_zone=zone))]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


async def test_what_is_counted_in_valkey(valkey: RedisServer) -> None:
    async with stock(valkey.settings(timeout=5)) as counting:
        await counting.registry.remember(TENANT, "contoso")
        await counting.use("r1", "alice", 400)
        await counting.reserve("r2", "alice", output=60)
        await counting.use("r3", "bob", 7, tenant="t-2")
    limits = (
        {"subject": "user", "tokens_per_day": 1, "requests_per_minute": 1},
        {"subject": "tenant", "tokens_per_month": 1, "dollars_per_month": 1},
        {"subject": "everyone", "tokens_per_day": 1},
    )
    found = await told(valkey, *limits)
    tenant = TENANT
    assert {name: (one.used, one.reserved) for name, one in found.items()} == {
        f"{tenant}/user=alice tokens_per_day": (560, 160),
        "t-2/user=bob tokens_per_day": (7, 0),
        f"{tenant} tokens_per_month": (560, 160),
        f"{tenant} dollars_per_month": (4_850, 850),
        "t-2 tokens_per_month": (7, 0),
        "t-2 dollars_per_month": (70, 0),
        "everyone tokens_per_day": (567, 160),
    }
    assert not any(one.was_reset or one.sometimes for one in found.values())
    now = datetime.now(UTC)
    assert all(one.start <= now < one.end for one in found.values())
    # The other tenant is counted, and has not been made known.
    known = {name for name, one in found.items() if one.since is not None and abs(one.since - now) < timedelta(minutes=5)}
    assert known == {name for name in found if not name.startswith("t-2")}


async def test_zones_pairs_hashes_and_resets_in_valkey(valkey: RedisServer) -> None:
    zone = "Europe/Berlin"
    summer = number(Window.DAY, datetime(2026, 3, 29, 12, tzinfo=UTC), zone)
    pair = Subject("t", ((Level.USER, "al ice,{x}"), (Level.MODEL, "gpt-5")))
    hashed = Subject("t", ((Level.USER, "u" * 200), (Level.MODEL, "gpt-5")))
    plain = Subject("t", ((Level.USER, "alice"),))
    with valkey.client() as client:
        client.hset(pair.key(), "tpd", Counter(summer, 50, generation=1, reserved=20).write())
        client.hset(hashed.key(), "tpd", Counter(summer, 50).write())
        client.hset(plain.key(), "tpd", Counter(summer, 50).write())
        client.hset(CONTOSO.key(), mapping={"tpmo": Counter(generation=1).write(), "rpd": "a riddle"})
    month = {"subject": "tenant", "tokens_per_month": 1, "requests_per_day": 1}
    match = {"role": "Lead"}
    found = await told(valkey, {"subject": ["model", "user"], "match": match, "tokens_per_day": 1}, month, zone=zone)
    assert list(found) == [f"{pair} tokens_per_day"]
    (one,) = found.values()
    assert one.subject == {"tenant_id": "t", "user_id": "al ice,{x}", "model": "gpt-5"}
    assert (one.used, one.reserved, one.was_reset, one.sometimes) == (50, 20, True, True)
    assert (one.start.isoformat(), one.end - one.start) == ("2026-03-28T23:00:00+00:00", timedelta(hours=23))


async def test_a_valkey_that_is_not_there(valkey: RedisServer) -> None:
    valkey.stop()
    redis = {"url": valkey.address, "connect_timeout": 0.2}
    with pytest.raises(ConnectionError, match="Redis does not answer"):
        _ = [one async for one in tallies(configured({"subject": "user", "tokens_per_day": 1}, redis=redis))]
