from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from policies.audit.ledger.merging import adopt, is_stray, merge, merged
from policies.audit.ledger.rows import Row, usage_row
from policies.audit.record import Closed, Kind
from tests.policies.audit.ledger.histories import closing, decision, exchange_records, stray


def row(record: Closed) -> Row:
    return usage_row(record.record)


@given(records=exchange_records(1), data=st.data())
def test_merging_knows_no_order(records: list[Closed], data: st.DataObject) -> None:
    rows = [row(one) for one in records if one.record.kind != Kind.EVENT]
    again = data.draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    assert merged(data.draw(st.permutations([*rows, *again]))) == merged(rows)


@given(records=exchange_records(1))
def test_in_parts_as_at_once(records: list[Closed]) -> None:
    rows = [row(one) for one in records if one.record.kind != Kind.EVENT]
    for cut in range(len(rows)):
        assert merged([*merged(rows[:cut]), *merged(rows[cut:])]) == merged(rows)


def test_both_halves_of_the_best() -> None:
    together = merge(row(closing(department="elsewhere")), row(decision()))
    assert (together["department"], together["closed"], together["session_id"]) == ("R&D", True, "s1")


def test_rows_come_in_the_order_of_their_ids() -> None:
    assert [one["exchange_id"] for one in merged([row(decision("b")), row(decision("a")), row(closing("b"))])] == [
        *("a", "b"),
    ]


def test_what_a_stray_is() -> None:
    assert is_stray(row(stray("s", "r")))
    assert not is_stray(row(stray("s", "")))
    assert not is_stray(row(stray("s", "r", recovered="closing")))
    assert not is_stray(row(stray("s", "r", decision="allow")))


def test_the_end_of_an_exchange_whose_verdict_was_lost() -> None:
    changed, part_of = adopt([row(decision("x1"))], [row(stray("s1", "req-x1"))])
    assert [(one["exchange_id"], one["closed"], one["ending"], one["user_id"]) for one in changed] == [
        ("x1", True, "client_gone", "alice")
    ]
    assert part_of == {"s1": "x1"}
    # Again: nothing more is to be done, and it is still part of it.
    assert adopt(changed, [row(stray("s1", "req-x1"))]) == ([], {"s1": "x1"})


def test_an_end_of_its_own_is_better() -> None:
    whole = merge(row(decision("x1")), row(closing("x1", basis="estimate")))
    assert adopt([whole], [row(stray("s1", "req-x1"))]) == ([], {"s1": None})


def test_a_presumed_end_is_not() -> None:
    whole = merge(row(decision("x1")), row(closing("x1", recovered="closing")))
    changed, part_of = adopt([whole], [row(stray("s1", "req-x1"))])
    assert [one["recovered"] for one in changed] == [False]
    assert part_of == {"s1": "x1"}


def test_the_first_of_several_strays() -> None:
    strays = [row(stray(f"s{n}", "req-x1", timestamp=f"2026-11-20T10:00:0{n}.000000Z")) for n in (1, 2)]
    for order in itertools.permutations(strays):
        changed, part_of = adopt([row(decision("x1"))], order)
        assert changed[0]["closed_at"] == strays[0]["closed_at"]
        assert part_of == {"s1": "x1", "s2": None}
