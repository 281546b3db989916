from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.ledger.rows import (
    COLUMNS,
    EVENT_COLUMNS,
    LONGEST,
    UnstorableError,
    cleaned,
    dollars,
    event_row,
    is_event,
    is_real_closing,
    micro,
    usage_row,
)
from tests.policies.audit.ledger.histories import closed, closing, decision, stray


def test_a_row_has_every_column() -> None:
    for record in (decision(), closing(), stray("s", "r")):
        assert sorted(usage_row(record.record)) == sorted(COLUMNS)
    assert sorted(event_row(closed(kind="event").record)) == sorted(EVENT_COLUMNS)


def test_a_decision_has_no_end() -> None:
    row = usage_row(decision(upstream="openai").record)
    assert (row["closed"], row["closed_at"], row["closing_sequence"], row["cost_micro"]) == (False, None, None, None)
    # As far as it is known before the end.
    assert row["upstream"] == "openai"
    assert row["at"] == row["decided_at"] == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_a_closing_tells_what_it_knows_of_the_decision() -> None:
    row = usage_row(closing().record)
    assert (row["decided_at"], row["decision_sequence"], row["tenant"], row["decision"]) == (
        *(None, None, "contoso", "allow"),
    )
    assert row["at"] == row["closed_at"]


def test_the_best_key_is_the_smallest() -> None:
    decisions = [decision(), decision(recovered="decision"), closing(), closing(recovered="closing")]
    keys = [usage_row(one.record)["decision_key"] for one in decisions]
    assert keys == sorted(keys)
    ends = [closing(basis=basis) for basis in ("metered", "nothing", "chunks", "estimate")]
    ends += [closing(basis=basis, recovered="closing") for basis in ("metered", "nothing", "chunks", "estimate")]
    keys = [usage_row(one.record)["closing_key"] for one in [*ends, decision(), decision(recovered="decision")]]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert [is_real_closing(usage_row(one.record)) for one in ends] == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (decision(exchange_id=""), "it names no exchange"),
        (closed(kind="riddle", exchange_id="x"), "its kind is not known here"),
        (decision(schema=99), "it is of schema 99, and 1 is the newest that is known here"),
        (decision(timestamp="2026-02-30T10:00:00.000000Z"), "its timestamp is in no calendar"),
        (closing(cost="1.0000001"), "its cost is no amount in dollars"),
        (closing(cost="-1"), "its cost is no amount in dollars"),
        (closing(cost="NaN"), "its cost is no amount in dollars"),
        (closing(cost="1e3"), "its cost is no amount in dollars"),
        (closing(cost="٣"), "its cost is no amount in dollars"),
        (closing(latency_us=2**63), "one of its numbers is too large"),
        (decision(sequence=2**64 - 1), "one of its numbers is too large"),
    ],
)
def test_what_no_row_is_made_of(record: object, why: str) -> None:
    with pytest.raises(UnstorableError) as refused:
        usage_row(record.record)  # type: ignore[attr-defined]
    assert str(refused.value) == why


def test_events_stand_alone() -> None:
    event = closed(kind="event", event="limit.changed", by="root", of="7", lost=3).record
    assert is_event(event)
    assert not is_event(decision().record)
    row = event_row(event)
    assert (row["journal"], row["sequence"], row["by_whom"], row["of_what"], row["lost"]) == ("gw.0", 1, "root", "7", 3)


@given(amount=st.integers(0, 10**18))
def test_money_is_exact(amount: int) -> None:
    text = f"{amount // 10**6}.{amount % 10**6:06}"
    assert micro(text) == amount
    assert dollars(amount) == Decimal(text)
    assert f"{dollars(amount):.6f}" == text


def test_an_unknown_cost_is_not_nothing() -> None:
    assert micro("") is None
    assert micro("0.000000") == 0


@given(text=st.text(max_size=600))
def test_cleaned_texts_can_be_stored(text: str) -> None:
    clean = cleaned(text)
    assert "\0" not in clean
    assert len(clean) <= LONGEST
    clean.encode("utf-8")
    assert cleaned(clean) == clean


def test_cut_texts_stay_apart() -> None:
    same = "m" * 400
    assert cleaned(same + "1") != cleaned(same + "2")
    assert cleaned(same + "1")[:239] == same[:239]
    assert cleaned("a\ud800b\0") == "a?b\ufffd"
