"""What was used: as the provider counted it, or else what is known, and never free where it may have cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.actuals import Actual, Basis, Charged, actual, charged, price_mark, price_of, source, spent
from extproc.call import METERS, Call, Operation
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from extproc.price import Portions, Price, sourced
from extproc.reservation import Reservation
from extproc.tariff import Contract, Terms

RESERVED = Reservation("r1", ("contoso",), input=100, output=400, choices=2)
CHAT = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o")
STREAM = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o", stream=True)
USAGE = Usage(input=90, output=30, total=120, cached_input=50, reasoning=10)
NOTHING, METERED, CHUNKS, ESTIMATE = Basis.NOTHING, Basis.METERED, Basis.CHUNKS, Basis.ESTIMATE


def ended(
    ending: Ending,
    call: Call | None = CHAT,
    *,
    verdict: Verdict = Verdict.ALLOW,
    reservation: Reservation | None = RESERVED,
    **more: Any,
) -> Completion:
    status = {Ending.ANSWERED: 200, Ending.REJECTED: 429, Ending.CLIENT_GONE: 0}.get(ending, 503)
    facts = by_type([fact for fact in (call, reservation) if fact is not None])
    settled: dict[str, Any] = {"status": status, "facts": facts, **more}
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
        # Something behind us failed or refused: the upstream may have worked by then, unless it was never asked.
        (Ending.REFUSED, {}, ESTIMATE, ESTIMATE, ESTIMATE),
        (Ending.REFUSED, {"unsent": True}, NOTHING, NOTHING, NOTHING),
    ],
)
def test_what_is_known_without_a_count(
    ending: Ending, more: dict[str, Any], plain: Basis, stream: Basis, stream_with_chunks: Basis
) -> None:
    tokens = {NOTHING: Portions(), CHUNKS: Portions(100, output=7), ESTIMATE: Portions(100, output=800)}
    for call, floor, basis in ((CHAT, 0, plain), (CHAT, 7, plain), (STREAM, 0, stream), (STREAM, 7, stream_with_chunks)):
        found = actual(ended(ending, call, output_floor=floor, **more))
        assert found == Actual(tokens[basis], 1, basis)


def test_the_table_knows_every_ending() -> None:
    [table] = [mark for mark in test_what_is_known_without_a_count.pytestmark if mark.name == "parametrize"]
    assert {row[0] for row in table.args[1]} == set(Ending)


@pytest.mark.parametrize(("ending", "call"), list(product(Ending, (CHAT, STREAM))))
def test_what_the_provider_counted_counts(ending: Ending, call: Call) -> None:
    """Whatever happened then, and also above the reservation."""
    for status, floor in ((200, 0), (500, 7)):
        found = actual(ended(ending, call, usage=USAGE, status=status, output_floor=floor))
        assert found == Actual(Portions(40, 50, 0, 30, 10), 1, METERED)
    more = actual(ended(ending, call, usage=Usage(10**6, 10**6)))
    assert more == Actual(Portions(10**6, output=10**6), 1, METERED)


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.RESPOND, Verdict.NONE])
@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("usage", [None, USAGE])
@pytest.mark.parametrize("call", [None, CHAT, STREAM])
def test_what_did_not_go_up_is_free(verdict: Verdict, ending: Ending, usage: Usage | None, call: Call | None) -> None:
    """It is not even a request. (Usage beside it would be that of a cached answer.)"""
    completion = ended(ending, call, verdict=verdict, usage=usage, output_floor=7)
    assert actual(completion) == Actual(Portions(), 0, NOTHING)


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("ending", list(Ending))
def test_only_models_use_tokens(operation: Operation, ending: Ending) -> None:
    found = actual(ended(ending, Call(operation, Dialect.OPENAI, stream=True), output_floor=7))
    assert found.requests == 1
    if operation not in METERS:
        assert found == Actual(Portions(), 1, NOTHING)


def test_without_a_call_there_is_a_request_and_what_was_counted() -> None:
    assert actual(ended(Ending.ANSWERED, None)) == Actual(Portions(), 1, NOTHING)
    assert actual(ended(Ending.ANSWERED, None, usage=Usage(5, 6))) == Actual(Portions(5, output=6), 1, METERED)


def test_each_dialect_counts_in_its_own_way() -> None:
    usage = Usage(input=90, output=30, cached_input=50, cache_write=20)
    claude = Call(Operation.MESSAGES, Dialect.ANTHROPIC, "claude")
    assert actual(ended(Ending.ANSWERED, claude, usage=usage)).tokens == Portions(90, 50, 20, 30)
    assert actual(ended(Ending.ANSWERED, CHAT, usage=usage)).tokens == Portions(20, 50, 20, 30)


def test_without_a_reservation_what_was_seen_counts() -> None:
    cut = ended(Ending.CLIENT_GONE, STREAM, reservation=None, output_floor=7)
    assert actual(cut) == Actual(Portions(output=7), 1, CHUNKS)
    assert actual(ended(Ending.TIMED_OUT, reservation=None)) == Actual(Portions(), 1, ESTIMATE)
    assert actual(ended(Ending.ANSWERED, reservation=None, usage=USAGE)) == Actual(
        Portions(40, 50, 0, 30, 10), 1, METERED
    )


PRICE = Price(2_500_000, 10_000_000, 1_250_000, 3_000_000)


TIERED = Price.per_million(
    input=Decimal(1), output=Decimal(1), request=Decimal("0.005"), tiers={"flex": Price(0, 0, 0, 0, source="list/flex")}
)


@pytest.mark.parametrize(
    ("found", "price", "dollars", "named"),
    [
        (Actual(Portions(10), 1, METERED), None, None, ""),
        (Actual(Portions(10), 1, METERED), TIERED, 5_010, ""),
        (Actual(Portions(10), 1, METERED, "flex"), TIERED, 0, "list/flex"),
        (Actual(Portions(10), 1, METERED, "default"), sourced(TIERED, "list"), 5_010, "list"),
        # What was not answered is not billed, not even as a request; and has no price.
        (Actual(Portions(), 1, NOTHING), sourced(TIERED, "list"), 0, ""),
        # What is not known is charged as it was reserved: in the dearest tier that it could have been.
        (Actual(Portions(10), 1, ESTIMATE, reserved=9_999), sourced(TIERED, "list"), 9_999, "list"),
        (Actual(Portions(10), 1, ESTIMATE), sourced(TIERED, "list"), 5_010, "list"),
    ],
)
def test_what_was_spent_and_at_which_price(found: Actual, price: Price | None, dollars: int | None, named: str) -> None:
    assert (spent(found, price), source(found, price)) == (dollars, named)


@pytest.mark.parametrize(
    ("charge", "mark"),
    [
        (Charged(Portions(1), METERED, 1, 1, 5, "configured"), None),
        (Charged(Portions(1), METERED, 1, 1, 5, "fallback"), "price_fallback"),
        (Charged(Portions(1), METERED, 1, 1, None), "unpriced"),
        (Charged(Portions(), NOTHING, 1, 0, None), None),
    ],
)
def test_what_is_marked(charge: Charged, mark: str | None) -> None:
    assert price_mark(charge) == mark


def test_the_price_is_that_of_the_tenant_when_the_exchange_began() -> None:
    upstream = Upstream("up", Provider.OPENAI, models=(Model("*"),))
    completion = ended(Ending.ANSWERED, CHAT, usage=USAGE)
    began = completion.started.timestamp()
    old, new = (Contract(name, Price(1, 1, 1, 1, source=name), tenant="contoso") for name in ("old", "new"))
    terms = Terms((replace(old, until=began), replace(new, since=began)))
    tariff = Catalogue((upstream,), terms=terms).tariff
    assert price_of(tariff, completion) is None
    completion.put(Target("up", "/v1", Provider.OPENAI))
    assert price_of(tariff, completion) is None
    completion.put(Identity("t", "u", "a", CallerKind.USER, tenant_name="contoso"))
    assert price_of(tariff, completion) == new.price
    assert price_of(tariff, ended(Ending.ANSWERED, None, usage=USAGE)) is None


def test_who_keeps_counters_says_what_is_charged() -> None:
    """Whatever one would work out: weights and prices are theirs."""
    completion = ended(Ending.ANSWERED, usage=USAGE)
    known = Charged(Portions(1), Basis.CHUNKS, 1, 7, None)
    completion.put(known)
    assert charged(completion, PRICE) is known
    assert charged(completion, None) is known


@pytest.mark.parametrize(("price", "dollars"), [(None, None), (PRICE, 463)])
def test_where_nobody_keeps_counters_every_token_counts_as_one(price: Price | None, dollars: int | None) -> None:
    """Micro-dollars: 40 tokens at 2.50 a million, 50 at 1.25, 30 at 10."""
    found = charged(ended(Ending.ANSWERED, usage=USAGE), price)
    # Reasoning is within the output.
    assert found == Charged(Portions(40, 50, 0, 30, 10), METERED, 1, 40 + 50 + 30, dollars)
    # Nothing is put: the next one asks with a price of its own.
    assert ended(Ending.ANSWERED, usage=USAGE).get(Charged) is None


def test_what_was_not_used_costs_nothing_where_there_is_a_price() -> None:
    refused = ended(Ending.REJECTED, verdict=Verdict.REJECT)
    assert charged(refused, PRICE) == Charged(Portions(), NOTHING, 0, 0, 0)
    assert charged(refused, None) == Charged(Portions(), NOTHING, 0, 0, None)
    lost = charged(ended(Ending.TIMED_OUT), PRICE)
    assert (lost.basis, lost.weighted, lost.dollars) == (ESTIMATE, 900, 250 + 8_000)


@pytest.mark.parametrize("ending", [Ending.CLIENT_GONE, Ending.UPSTREAM_CUT, Ending.TIMED_OUT])
def test_a_count_from_the_beginning_of_a_stream_is_no_count_of_all(ending: Ending) -> None:
    """Anthropic says one token of output at the beginning, and all of them at the end."""
    call = Call(Operation.MESSAGES, Dialect.ANTHROPIC, "claude", stream=True)
    begun = Usage(input=90, output=1, cached_input=50)
    assert actual(ended(ending, call, usage=begun, output_floor=7)) == Actual(Portions(90, 50, 0, 7), 1, CHUNKS)
    assert actual(ended(ending, call, usage=begun, output_floor=1)) == Actual(Portions(90, 50, 0, 1), 1, METERED)
    # Of what is whole the provider knows best.
    whole = ended(Ending.ANSWERED, call, usage=begun, output_floor=7)
    assert actual(whole) == Actual(Portions(90, 50, 0, 1), 1, METERED)


@pytest.mark.parametrize("ending", [Ending.CLIENT_GONE, Ending.UPSTREAM_CUT])
def test_a_stream_that_breaks_off_is_billed_in_the_tier_that_it_named(ending: Ending) -> None:
    call = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o", stream=True)
    cut = ended(ending, call, output_floor=7, tier="priority")
    assert actual(cut) == Actual(Portions(100, output=7), 1, CHUNKS, "priority")
