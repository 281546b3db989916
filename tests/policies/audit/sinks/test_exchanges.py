"""Which exchanges a batch completes, and what is said of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Closed, Kind, Record
from policies.audit.sinks.exchanges import Exchange, completed, merged
from tests.policies.audit.sinks.made import made
from tests.policies.audit.sinks.trace_receiver import both, closing, decision, exchange_id, refused


class Kept:
    """Halves of earlier batches."""

    def __init__(self, *halves: Closed) -> None:
        self.halves = {(one.record.exchange_id, one.record.kind): one.record for one in halves}

    def decision(self, exchange: str) -> Record | None:
        return self.halves.get((exchange, Kind.DECISION))

    def closing(self, exchange: str) -> Record | None:
        return self.halves.get((exchange, Kind.CLOSING))

    def asked(self, request: str) -> Record | None:
        found = [one for one in self.halves.values() if one.request_id == request and one.kind == Kind.DECISION]
        return found[0] if found else None


def found(batch: Sequence[Closed], *kept: Closed) -> list[tuple[int, str]]:
    return [(one.index, one.exchange.id[:16].lstrip("0")) for one in completed(batch, Kept(*kept))]


EVENT = made(99, kind=Kind.EVENT, event="limit.changed", exchange_id=exchange_id(1))
NONE: dict[str, Any] = {"decision": "none", "exchange_id": "envoys-own-name"}


@pytest.mark.parametrize(
    ("batch", "kept", "exchanges"),
    [
        ([], [], []),
        (both(1), [], [(1, "1")]),
        (both(1)[::-1], [], [(1, "1")]),
        ([closing(1)], [decision(1)], [(0, "1")]),
        ([decision(1)], [closing(1)], [(0, "1")]),
        ([closing(1)], [], []),
        ([decision(1)], [], []),
        ([EVENT, decision(1), EVENT, decision(2), closing(2), closing(1)], [], [(4, "2"), (5, "1")]),
        # The same again: it is told again, as it was last.
        ([*both(1), *both(2), closing(1)], [], [(3, "2"), (4, "1")]),
        (both(1), both(1), [(1, "1")]),
        ([made(1, exchange_id="")], [], []),
        # A verdict that did not arrive: Envoy knows the exchange by another name.
        ([decision(1), closing(1, **NONE)], [], [(1, "1")]),
        ([closing(1, **NONE)], [decision(1)], [(0, "1")]),
        ([closing(1, **(NONE | {"decision": "allow"}))], [decision(1)], []),
        ([closing(2, **NONE)], [decision(1)], []),
    ],
)
def test_which_are_complete(batch: list[Closed], kept: list[Closed], exchanges: list[tuple[int, str]]) -> None:
    assert found(batch, *kept) == exchanges


@given(st.permutations([half for number in range(1, 6) for half in both(number)]), st.integers(0, 10))
def test_wherever_it_is_cut_every_exchange_is_told_once(halves: list[Closed], cut: int) -> None:
    before = completed(halves[:cut], Kept())
    after = completed(halves[cut:], Kept(*halves[:cut]))
    assert sorted(one.exchange.id for one in (*before, *after)) == [exchange_id(number) for number in range(1, 6)]


def test_what_the_decision_alone_says_is_added() -> None:
    decided, ended = (one.record for one in refused(3, trace_id="ab" * 16))
    ended = msgspec.structs.replace(ended, trace_id="")
    record = merged(Exchange(decided, ended))
    assert (record.session_id, record.trace_id, record.reason, record.policy) == (
        "session-1",
        "ab" * 16,
        "budget_exhausted",
        "limits",
    )
    assert record.params == decided.params
    # What the closing says of itself and of the end stays.
    assert (record.kind, record.event, record.sequence, record.timestamp) == (
        *(ended.kind, ended.event, ended.sequence, ended.timestamp),
    )
    assert (record.ending, record.latency_us) == ("rejected", 1_500_000)
    assert merged(Exchange(None, ended)) is ended


def test_a_closing_under_another_name_is_told_under_that_of_the_decision() -> None:
    exchange = Exchange(decision(1).record, closing(1, **NONE).record)
    assert exchange.id == merged(exchange).exchange_id == exchange_id(1)
