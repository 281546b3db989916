"""What was used: as the provider counted it, or else what is known, and never free where it may have cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import METERS, Call, Operation
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.exchange import Dialect
from extproc.price import Portions, Price
from policies.limits.actuals import Actual, Basis, actual
from policies.limits.demands import Scale, Size, demands
from policies.limits.reservation import Reservation
from policies.limits.settings import Weights
from policies.limits.store import Used
from tests.policies.limits.world import limit

RESERVED = Reservation("r1", ("contoso",), input=100, output=400, choices=2)
CHAT = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o")
STREAM = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o", stream=True)
USAGE = Usage(input=90, output=30, total=120, cached_input=50, reasoning=10)
NOTHING, METERED, CHUNKS, ESTIMATE = Basis.NOTHING, Basis.METERED, Basis.CHUNKS, Basis.ESTIMATE


def ended(ending: Ending, call: Call | None = CHAT, *, verdict: Verdict = Verdict.ALLOW, **more: Any) -> Completion:
    status = {Ending.ANSWERED: 200, Ending.REJECTED: 429, Ending.CLIENT_GONE: 0}.get(ending, 503)
    settled: dict[str, Any] = {"status": status, "facts": by_type([call] if call is not None else []), **more}
    return Completion(
        id="x1",
        request_id="q1",
        method="POST",
        path="/v1/chat/completions",
        verdict=verdict,
        ending=ending,
        ended_by=EndedBy.UPSTREAM,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        duration=1.0,
        first_byte=None,
        bytes_in=10,
        bytes_out=10,
        **settled,
    )


@pytest.mark.parametrize(
    ("ending", "more", "plain", "stream", "stream_with_chunks"),
    [
        (Ending.ANSWERED, {}, ESTIMATE, ESTIMATE, ESTIMATE),
        (Ending.ANSWERED, {"status": 299}, ESTIMATE, ESTIMATE, ESTIMATE),
        # No provider bills an error.
        (Ending.ANSWERED, {"status": 300}, NOTHING, NOTHING, NOTHING),
        (Ending.ANSWERED, {"status": 429}, NOTHING, NOTHING, NOTHING),
        (Ending.ANSWERED, {"status": 500}, NOTHING, NOTHING, NOTHING),
        (Ending.UPSTREAM_UNAVAILABLE, {}, NOTHING, NOTHING, NOTHING),
        (Ending.UPSTREAM_CUT, {}, ESTIMATE, ESTIMATE, CHUNKS),
        (Ending.CLIENT_GONE, {}, ESTIMATE, ESTIMATE, CHUNKS),
        (Ending.TIMED_OUT, {}, ESTIMATE, ESTIMATE, ESTIMATE),
        # After a verdict that let it pass these do not happen; if they did, it would not be known that it was free.
        (Ending.RESPONDED, {}, ESTIMATE, ESTIMATE, ESTIMATE),
        (Ending.REJECTED, {}, ESTIMATE, ESTIMATE, ESTIMATE),
        (Ending.REFUSED, {}, ESTIMATE, ESTIMATE, ESTIMATE),
    ],
)
def test_what_is_known_without_a_count(
    ending: Ending, more: dict[str, Any], plain: Basis, stream: Basis, stream_with_chunks: Basis
) -> None:
    tokens = {NOTHING: Portions(), CHUNKS: Portions(100, output=7), ESTIMATE: Portions(100, output=800)}
    for call, floor, basis in ((CHAT, 0, plain), (CHAT, 7, plain), (STREAM, 0, stream), (STREAM, 7, stream_with_chunks)):
        found = actual(ended(ending, call, output_floor=floor, **more), RESERVED)
        assert found == Actual(tokens[basis], 1, basis)


def test_the_table_knows_every_ending() -> None:
    [table] = [mark for mark in test_what_is_known_without_a_count.pytestmark if mark.name == "parametrize"]
    assert {row[0] for row in table.args[1]} == set(Ending)


@pytest.mark.parametrize(("ending", "call"), list(product(Ending, (CHAT, STREAM))))
def test_what_the_provider_counted_counts(ending: Ending, call: Call) -> None:
    """Whatever happened then, and also above the reservation."""
    for status, floor in ((200, 0), (500, 7)):
        found = actual(ended(ending, call, usage=USAGE, status=status, output_floor=floor), RESERVED)
        assert found == Actual(Portions(40, 50, 0, 30, 10), 1, METERED)
    more = actual(ended(ending, call, usage=Usage(10**6, 10**6)), RESERVED)
    assert more == Actual(Portions(10**6, output=10**6), 1, METERED)


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.RESPOND, Verdict.NONE])
@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("usage", [None, USAGE])
@pytest.mark.parametrize("call", [None, CHAT, STREAM])
def test_what_did_not_go_up_is_free(verdict: Verdict, ending: Ending, usage: Usage | None, call: Call | None) -> None:
    """It is not even a request. (Usage beside it would be that of a cached answer.)"""
    completion = ended(ending, call, verdict=verdict, usage=usage, output_floor=7)
    assert actual(completion, RESERVED) == Actual(Portions(), 0, NOTHING)


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("ending", list(Ending))
def test_only_models_use_tokens(operation: Operation, ending: Ending) -> None:
    found = actual(ended(ending, Call(operation, Dialect.OPENAI, stream=True), output_floor=7), RESERVED)
    assert found.requests == 1
    if operation not in METERS:
        assert found == Actual(Portions(), 1, NOTHING)


def test_without_a_call_there_is_a_request_and_what_was_counted() -> None:
    assert actual(ended(Ending.ANSWERED, None), RESERVED) == Actual(Portions(), 1, NOTHING)
    assert actual(ended(Ending.ANSWERED, None, usage=Usage(5, 6)), RESERVED) == Actual(Portions(5, output=6), 1, METERED)


def test_each_dialect_counts_in_its_own_way() -> None:
    usage = Usage(input=90, output=30, cached_input=50, cache_write=20)
    claude = Call(Operation.MESSAGES, Dialect.ANTHROPIC, "claude")
    assert actual(ended(Ending.ANSWERED, claude, usage=usage), RESERVED).tokens == Portions(90, 50, 20, 30)
    assert actual(ended(Ending.ANSWERED, CHAT, usage=usage), RESERVED).tokens == Portions(20, 50, 20, 30)


PRICE = Price.per_million(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"))
SCALE = Scale.of(Weights(input=1, cached_input=0.1, output=4, reasoning=2))


@pytest.mark.parametrize(
    ("found", "price", "used"),
    [
        (Actual(Portions(), 0, NOTHING), PRICE, Used()),
        (Actual(Portions(), 1, NOTHING), PRICE, Used(1)),
        (Actual(Portions(100, output=10), 1, METERED), PRICE, Used(1, 140, 450)),
        (Actual(Portions(40, 55, 0, 30, 10), 1, METERED), PRICE, Used(1, 146, 587)),  # 145.5 tokens, 586.5 micro-dollars
        (Actual(Portions(100, output=10), 1, METERED), None, Used(1, 140, 0)),
    ],
)
def test_in_the_units_of_the_counters(found: Actual, price: Price | None, used: Used) -> None:
    assert found.used(SCALE, price) == used


COUNTS = st.integers(0, 10**6)
WEIGHTS = st.builds(Scale, *[st.integers(0, 10**8)] * 5)
PRICES = st.builds(Price, *[st.integers(0, 10**9)] * 4)


@given(
    COUNTS,
    COUNTS,
    st.integers(1, 8),
    st.sampled_from(Ending),
    st.sampled_from([CHAT, STREAM]),
    st.floats(0, 1),
    WEIGHTS,
    PRICES,
)
def test_what_nobody_counted_is_never_more_than_was_reserved(
    tokens: int, output: int, choices: int, ending: Ending, call: Call, seen: float, scale: Scale, price: Price
) -> None:
    size = Size(tokens, output, choices, price)
    reserved = [
        asked.reserved(output)
        for asked in demands((limit(), limit("tokens_per_day"), limit("dollars_per_day")), size, scale)
    ]
    floor = int(seen * output * choices)
    reservation = Reservation("r1", input=tokens, output=output, choices=choices)
    found = actual(ended(ending, call, output_floor=floor), reservation).used(scale, price)
    assert found.requests <= reserved[0]
    assert found.tokens <= reserved[1]
    assert found.dollars <= reserved[2]
