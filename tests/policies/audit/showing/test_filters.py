"""Which records are meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Record
from policies.audit.showing.filters import Filter, FilterError, Related, check
from tests.policies.audit.showing.journaled import closed, closing, decision, record, refusal


@pytest.mark.parametrize(
    ("wanted", "fields", "expected"),
    [
        ({}, {}, True),
        ({"tenant": ("contoso",)}, {"tenant": "contoso", "tenant_id": "t-1"}, True),
        ({"tenant": ("t-1",)}, {"tenant": "contoso", "tenant_id": "t-1"}, True),
        ({"tenant": ("conto",)}, {"tenant": "contoso"}, False),
        ({"tenant": ("con*",)}, {"tenant": "contoso"}, True),
        ({"tenant": ("CON*",)}, {"tenant": "contoso"}, False),
        ({"tenant": ("*",)}, {}, False),
        ({"tenant": ("fabrikam", "contoso")}, {"tenant": "contoso"}, True),
        ({"user": ("[email:3f9a1c0b]",)}, {"user_id": "[email:3f9a1c0b]"}, True),
        ({"user": ("[email:*]",)}, {"user_id": "[email:3f9a1c0b]"}, True),
        ({"user": ("[email:*]",)}, {"user_id": "e"}, False),
        ({"user": ("a?c",)}, {"user_id": "a\nc"}, True),
        ({"user": ("a.c",)}, {"user_id": "abc"}, False),
        ({"user": ("alice",)}, {"app_id": "alice"}, False),
        ({"user": ("kim",)}, {"by": "kim"}, True),
        ({"model": ("gpt-5*",)}, {"model": "best", "response_model": "gpt-5-2026"}, True),
        ({"model": ("best",)}, {"model": "best", "response_model": "gpt-5-2026"}, True),
        ({"event": ("limit.*",)}, {"event": "limit.reached"}, True),
        ({"event": ("limit.*",)}, {"event": "request.allowed"}, False),
        ({"decision": ("reject", "none")}, {"decision": "none"}, True),
        ({"decision": ("reject",)}, {"decision": "allow"}, False),
        ({"request_id": "r-1"}, {"request_id": "r-1"}, True),
        ({"request_id": "r-*"}, {"request_id": "r-1"}, False),
        ({"exchange": "x-1"}, {"exchange_id": "x-1"}, True),
        ({"exchange": "x-1"}, {"request_id": "x-1"}, False),
        ({"session": "s"}, {"session_id": "s"}, True),
        ({"session": "s"}, {}, False),
        ({"earliest": "2026-11-02T09:30:00.000000Z"}, {}, True),
        ({"earliest": "2026-11-02T09:30:00.000001Z"}, {}, False),
        ({"before": "2026-11-02T09:30:00.000001Z"}, {}, True),
        ({"before": "2026-11-02T09:30:00.000000Z"}, {}, False),
        ({"tenant": ("contoso",), "decision": ("reject",)}, {"tenant": "contoso", "decision": "allow"}, False),
    ],
)
def test_what_matches(wanted: dict[str, Any], fields: dict[str, Any], expected: bool) -> None:
    one = Filter(**wanted)
    assert one.matches(record(**fields)) is expected
    assert bool(list(one.select([closed(record(**fields))]))) is expected


@pytest.mark.parametrize(
    ("tenant", "named", "found"),
    [
        ((), (), ()),
        (("contoso", "con*", "t-?"), ("contoso",), ("contoso", "con*", "t-?", "t-1")),
    ],
)
def test_a_tenants_name_stands_for_its_id(
    tenant: tuple[str, ...], named: tuple[str, ...], found: tuple[str, ...]
) -> None:
    wanted = Filter(tenant=tenant, user=("alice",))
    assert wanted.tenants == named
    assert wanted.with_ids("t-1" for _ in named) == Filter(tenant=found, user=("alice",))


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_what_has_no_wildcards_matches_itself_alone(pattern: str, value: str) -> None:
    plain = pattern.replace("*", "").replace("?", "")
    if plain:
        assert Filter(user=(plain,)).matches(record(user_id=value)) is (plain == value)
    assert Filter(user=(value,)).matches(record(user_id=value))


def test_many_stars_are_one() -> None:
    assert not Filter(user=("*" * 5_000 + "b",)).matches(record(user_id="a" * 5_000))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Filter(decision=("deny",)), "--decision deny: expected one of allow, reject, respond, none"),
        (Filter(earliest="2026-11-02", before="2026-11-02"), "--to is not after --from"),
    ],
)
def test_what_cannot_be_meant(wanted: Filter, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        check(wanted)


HISTORY = [
    decision(1, 0),
    refusal(2, 0.5),
    decision(3, 0.7, request_id="r-1"),
    closing(1, 1),
    record(90, event="limit.lease_expired", reservation_id="v-3"),
    closing(2, 2, reservation_id=""),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        # Two exchanges bear the request id r-1, and the reservation of the second ran out.
        ("r-1", [0, 2, 3, 4]),
        ("x-1", [0, 3]),
        ("v-3", [2, 4]),
        ("x-2", [1, 5]),
        ("x", []),
    ],
)
def test_what_belongs_to_a_request(wanted: str, found: list[int]) -> None:
    related = Related(wanted)
    assert [index for index, one in enumerate(HISTORY) if related.matches(one)] == found


def test_nothing_that_has_no_id_is_related_by_having_none() -> None:
    related = Related("r-2")
    assert related.matches(refusal(2))
    unrelated: Record = record(event="journal.opened")
    assert not related.matches(unrelated)
