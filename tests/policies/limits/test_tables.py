from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits.limit import KINDS, OutputReserve
from policies.limits.plan import Caller
from policies.limits.settings import LimitEntry
from policies.limits.store import Zone
from policies.limits.subjects import EVERYONE, Level, Subject, parse
from policies.limits.tables import Charge, Largest, Line, Model, line, models, subject_of, unanswered
from policies.limits.tokens.learned import Learned
from policies.limits.windows import MINUTE, Counter, window_at
from tests.policies.limits.world import NOW, caller, limit

ZONE: Final = Zone()
HALF: Final = NOW + 30_000
MINUTES: Final = NOW // MINUTE
DAYS: Final = NOW // 86_400_000
MONTHS: Final = 2026 * 12
KEY: Final = parse("contoso/user=alice").key()


def stands(kind: str, amount: int | None, counter: Counter | None, *charges: Charge, **more: Any) -> Line:
    of = limit(kind, amount, **more) if amount is not None else None
    whom = parse("contoso/user=alice")
    return line(whom, KINDS[kind], of, counter, charges, now=HALF, zone=ZONE, source="limits[0]")


@pytest.mark.parametrize(
    ("kind", "amount", "counter", "used", "left", "share", "resets_in"),
    [
        ("requests_per_minute", 60, None, 0, 60, 0.0, 0),
        # Half of the minute before still counts.
        ("requests_per_minute", 60, Counter(MINUTES, 10, 20), 20, 40, 0.333333, 90_000),
        ("requests_per_minute", 60, Counter(MINUTES, 0, 20), 10, 50, 0.166667, 30_000),
        ("requests_per_minute", 60, Counter(MINUTES - 1, 20, 7), 10, 50, 0.166667, 30_000),
        ("requests_per_minute", 60, Counter(MINUTES - 2, 20, 7), 0, 60, 0.0, 0),
        ("tokens_per_day", 100, Counter(DAYS, 250), 250, 0, 2.5, 86_370_000),
        ("tokens_per_day", 100, Counter(DAYS - 1, 250), 0, 100, 0.0, 86_370_000),
        ("tokens_per_day", 0, Counter(DAYS, 5), 5, 0, None, 86_370_000),
        ("tokens_per_day", None, Counter(DAYS, 5), 5, None, None, 86_370_000),
        ("dollars_per_month", 10**6, Counter(MONTHS, 1), 1, 999_999, 0.000001, 31 * 86_400_000 - 30_000),
        ("parallel_requests", 4, Counter(0, 3), 3, 1, 0.75, None),
    ],
)
def test_how_a_limit_stands(
    kind: str, amount: int | None, counter: Counter | None, used: int, left: int, share: float, resets_in: int
) -> None:
    found = stands(kind, amount, counter)
    assert (found.used, found.left, found.share, found.resets_in) == (used, left, share, resets_in)
    assert (found.subject, found.kind, found.limit) == ("contoso/user=alice", kind, amount)


def test_debt_is_carried_where_the_limit_carries_it() -> None:
    yesterday = Counter(DAYS - 1, 250)
    assert stands("tokens_per_day", 100, yesterday, reserve=OutputReserve.EXPECTED).used == 150
    assert stands("tokens_per_day", 100, yesterday, reserve=OutputReserve.CEILING).used == 0


def test_days_in_which_nobody_came_have_paid_as_well() -> None:
    for ago, used in ((1, 150), (2, 50), (3, 0)):
        counter = Counter(DAYS - ago, 250)
        assert stands("tokens_per_day", 100, counter, reserve=OutputReserve.EXPECTED).used == used


def test_what_is_reserved_is_what_still_counts() -> None:
    charges = [
        Charge(KEY, "tpd", DAYS, 100, 3),
        Charge(KEY, "tpd", DAYS, 11, 3),
        Charge(KEY, "tpd", DAYS, 1_000, 2),  # before somebody reset it
        Charge(KEY, "tpd", DAYS - 1, 1_000, 3),  # yesterday's
        Charge(KEY, "rpm", DAYS, 1_000, 3),  # another counter
        Charge(KEY + "x", "tpd", DAYS, 1_000, 3),  # another subject
    ]
    assert stands("tokens_per_day", 500, Counter(DAYS, 111, 0, 0, 3), *charges).reserved == 111


def test_of_a_minute_the_one_before_still_counts() -> None:
    charges = [Charge(KEY, "rpm", MINUTES - age, 10**age, 0) for age in range(3)]
    assert stands("requests_per_minute", 500, Counter(MINUTES, 1, 10), *charges).reserved == 11


def test_what_is_shadowed_says_so() -> None:
    assert stands("tokens_per_day", 500, None, shadow=True).shadow
    assert not stands("tokens_per_day", None, Counter(DAYS, 1)).shadow


ENTRIES: Final = [
    LimitEntry.model_validate(entry)
    for entry in (
        {"subject": "user", "tokens_per_day": 1},
        {"subject": "user", "match": {"role": "Lead"}, "tokens_per_day": 1},
        {"subject": "user", "match": {"model": "gpt-5*", "role": "Lead"}, "tokens_per_day": 1},
        {"subject": "user", "match": {"user": "bob", "role": "Lead"}, "tokens_per_day": 1},
        {"subject": "tenant", "match": {"role": "Lead"}, "tokens_per_day": 1},
        {"subject": ["everyone"], "match": {"tenant": "contoso"}, "tokens_per_day": 1},
        {"subject": ["user", "model"], "match": {"department": "R&D"}, "tokens_per_day": 1},
    )
]


@pytest.mark.parametrize(
    ("text", "of", "entries"),
    [
        ("contoso/user=alice", {}, {1: ("role",), 2: ("role", "model")}),
        ("contoso/user=alice", {"roles": frozenset({"Lead"})}, {2: ("model",)}),
        ("contoso/user=alice", {"roles": frozenset({"User"})}, {}),
        ("contoso/user=alice", {"model": "gpt-5"}, {1: ("role",), 2: ("role",)}),
        ("contoso/user=alice", {"model": "gpt-4"}, {1: ("role",)}),
        ("contoso/user=bob", {"user": "bob", "model": "gpt-4"}, {1: ("role",), 3: ("role",)}),
        ("contoso", {}, {4: ("role",)}),
        ("everyone", {"tenant": "", "tenant_name": ""}, {5: ("tenant",)}),
        ("contoso/user=alice,model=gpt-5", {"model": "gpt-5"}, {6: ("department",)}),
        ("contoso/app=chat", {}, {}),
    ],
)
def test_entries_that_depend_on_what_is_not_known(text: str, of: dict[str, Any], entries: dict[int, Any]) -> None:
    unknown: Caller = caller(department="", app="", roles=frozenset(), model="")
    who = caller(**{**{name: getattr(unknown, name) for name in ("department", "app", "roles", "model")}, **of})
    levels = tuple(level for level, _ in parse(text).parts)
    found = {index: asked for index, _, asked in unanswered(ENTRIES, levels, who)}
    assert found == entries


DAY_KIND: Final = KINDS["tokens_per_day"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(DAYS - 1, DAYS)), max_size=30), st.integers(1, 5))
def test_the_largest_are_those_that_sorting_finds(offered: list[tuple[int, int]], most: int) -> None:
    largest = Largest(DAY_KIND, most, now=NOW, zone=ZONE)
    for index, (amount, window) in enumerate(offered):
        largest.offer(f"k{index:02}", Counter(window, amount).write())
    amounts = sorted((amount for amount, window in offered if window == DAYS and amount > 0), reverse=True)
    found = largest.found()
    assert [counter.current for _, counter in found] == amounts[:most]
    assert all(offered[int(key[1:])] == (counter.current, DAYS) for key, counter in found)


def test_one_that_is_offered_twice_is_there_once() -> None:
    largest = Largest(DAY_KIND, 3, now=NOW, zone=ZONE)
    for _ in range(3):
        largest.offer("k", Counter(DAYS, 7).write())
    assert [key for key, _ in largest.found()] == ["k"]


@pytest.mark.parametrize("written", [None, b"", b"x", b"1 2", b"1 2 3 4 5 6"])
def test_what_is_no_counter_is_left_out(written: bytes | None) -> None:
    largest = Largest(DAY_KIND, 3, now=NOW, zone=ZONE)
    largest.offer("k", written)
    assert largest.found() == []


NAMES: Final = st.text(max_size=10)
# Longer ones may stand in a key as a hash.


@given(NAMES, st.lists(st.tuples(st.sampled_from(list(Level)[2:]), NAMES), max_size=2, unique_by=lambda part: part[0]))
def test_a_subject_is_read_from_its_key(tenant: str, parts: list[tuple[Level, str]]) -> None:
    order = list(Level)
    subject = Subject(tenant, tuple(sorted(parts, key=lambda part: order.index(part[0]))))
    assert subject_of(subject.key()) == subject


def test_everyones_key() -> None:
    assert subject_of(Subject(EVERYONE).key()) == Subject(EVERYONE)


def test_what_stands_as_a_hash_stays_one() -> None:
    found = subject_of(Subject("t", ((Level.USER, "u" * 500),)).key())
    assert found.parts[0][1].startswith("#")


def test_models() -> None:
    known = Learned()
    for output in (100, 300) * 150:
        known.add(100, 80, output)
    few = Learned(1, 0, 0, 7, 49)
    assert models({"few": few, "known": known, "none": Learned()}) == [
        Model("known", 300, 0.8, round(known.factor(), 3), 200, 300),
        Model("few", 1, None, 1.0, 7, None),
        Model("none", 0, None, 1.0, 0, None),
    ]


def test_the_world_begins_with_a_window() -> None:
    assert [window_at(KINDS[name].window, NOW, ZONE)[0] for name in KINDS][:3] == [MINUTES, DAYS, MONTHS]
