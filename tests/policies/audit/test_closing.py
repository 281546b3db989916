"""What a closing says: how it ended, what it used, and what it cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.completion import Completion, Decision, EndedBy, Ending, Verdict
from extproc.price import Portions
from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.closing import closed
from policies.audit.deciding import decided
from policies.audit.record import SCHEMA, Record, Reserved, Said, Tokens
from policies.audit.redaction import RedactionSettings, Redactor
from policies.audit.words import Words
from tests.policies.audit.world import ALICE, CHAT, OPENAI, RESERVED, STAMP, Marked, Plain, completion, exchange

NOTHING = Charged(Portions(), Basis.NOTHING, 0, 0, 0)
METERED = Charged(Portions(40, 50, 5, 30, 10), Basis.METERED, 1, 210, 4_500)


def as_record(members: dict[str, Any]) -> Record:
    """As it is written and read back."""
    chained = {"journal": "gw.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP}
    return read(seal_members({**members, **chained})[0]).record


def of(ended: Completion, charge: Charged = NOTHING, words: Words | None = None) -> Record:
    return as_record(closed(ended, charge, words or Plain()))


def expect(record: Record, **expected: Any) -> None:
    assert {name: getattr(record, name) for name in expected} == expected


def test_all_that_is_known_is_recorded() -> None:
    ended = completion(
        *(ALICE, CHAT, OPENAI, RESERVED),
        duration=1.2345678,
        first_byte=0.25,
        upstream="openai-2",
        backend="eu-west",
        response_model="gpt-4o-2024",
        decisions=(Decision("limits", "reject", "x", "why", enforced=False),),
        flags=("DC",),
        marks=("soft_limit",),
        details="via_upstream",
    )
    expect(
        of(ended, METERED),
        kind="closing",
        event="request.closed",
        level="info",
        exchange_id="e-1",
        request_id="q-1",
        method="POST",
        path="/v1/chat/completions",
        status=200,
        decision="allow",
        ending="answered",
        ended_by="upstream",
        result="success",
        latency_us=1_234_568,
        latency_ms=1_235,
        first_byte_us=250_000,
        bytes_in=10,
        bytes_out=20,
        started=STAMP,
        tenant_id="t-1",
        user_id="alice",
        model="gpt-4o",
        upstream="openai-2",
        backend="eu-west",
        response_model="gpt-4o-2024",
        decisions=(Said("x", False, "reject", "limits", "why"),),
        flags=("DC",),
        marks=("soft_limit",),
        details="via_upstream",
        reservation_id="e-1.1",
        accounts=("t-1", "*"),
        reserved=Reserved(4_250, 100, 800, 900),
        basis="metered",
        requests=1,
        tokens=Tokens(5, 50, 40, 30, 10, 125, 210),
        cost="0.004500",
    )


@pytest.mark.parametrize(
    ("charge", "marks", "price"),
    [
        (Charged(Portions(1), Basis.METERED, 1, 1, 5, "configured"), (), "configured"),
        (Charged(Portions(1), Basis.METERED, 1, 1, 5, "fallback"), ("price_fallback",), "fallback"),
        (Charged(Portions(1), Basis.METERED, 1, 1, None), ("unpriced",), ""),
        (Charged(Portions(tool_calls=1), Basis.METERED, 1, 0, None), ("unpriced",), ""),
        # What used nothing has no price to be missed.
        (Charged(Portions(), Basis.NOTHING, 1, 0, None), (), ""),
        (Charged(Portions(), Basis.NOTHING, 1, 0, 0), (), ""),
    ],
)
def test_the_price_and_what_is_marked_about_it(charge: Charged, marks: tuple[str, ...], price: str) -> None:
    ended = completion(*(ALICE, CHAT, OPENAI), marks=("soft_limit",))
    expect(of(ended, charge), marks=("soft_limit", *marks), price=price)


def test_what_is_billed_apart_is_recorded_where_there_is_any() -> None:
    spent = Portions(1, 2, 3, 4, 0, 5, 6, 7, 8)
    record = of(completion(*(ALICE, CHAT, OPENAI)), Charged(spent, Basis.METERED, 1, 30, 9, "contract:a"))
    expect(record, tokens=Tokens(3, 2, 1, 4, 0, 28, 30, 6, 7, 5, 8), cost="0.000009", price="contract:a")
    plain = closed(completion(*(ALICE, CHAT, OPENAI)), METERED, Plain())
    assert set(plain["tokens"]) == {"input", "output", "cached_input", "cache_write", "reasoning", "total", "weighted"}


def test_an_exchange_of_which_nothing_is_known() -> None:
    """Envoy refused it, say: no policy was asked."""
    ended = completion(verdict=Verdict.NONE, ending=Ending.REFUSED, ended_by=EndedBy.GATEWAY, status=413)
    members = closed(ended, NOTHING, Plain())
    absent = ("tenant_id", "model", "upstream", "first_byte_us", "tokens", "cost", "reserved", "decisions", "flags")
    assert not set(absent) & set(members)
    expect(as_record(members), decision="none", result="refused", requests=0, basis="nothing")


# How it ended


RESULTS: list[tuple[Ending, int, str, str]] = [
    (Ending.ANSWERED, 200, "success", "info"),
    (Ending.ANSWERED, 302, "success", "info"),
    (Ending.ANSWERED, 399, "success", "info"),
    # An upstream's error, delivered whole.
    (Ending.ANSWERED, 400, "failure", "warning"),
    (Ending.ANSWERED, 500, "failure", "warning"),
    (Ending.RESPONDED, 200, "success", "info"),
    # A policy's own answer is what was wanted, whatever its status.
    (Ending.RESPONDED, 404, "success", "info"),
    (Ending.REJECTED, 429, "refused", "info"),
    (Ending.REFUSED, 413, "refused", "info"),
    (Ending.UPSTREAM_UNAVAILABLE, 503, "failure", "warning"),
    (Ending.UPSTREAM_CUT, 200, "failure", "warning"),
    (Ending.TIMED_OUT, 504, "failure", "warning"),
    (Ending.CLIENT_GONE, 0, "aborted", "info"),
]


@pytest.mark.parametrize(("ending", "status", "result", "level"), RESULTS)
def test_the_result(ending: Ending, status: int, result: str, level: str) -> None:
    expect(of(completion(ending=ending, status=status)), ending=ending.value, result=result, level=level)


def test_the_table_knows_every_ending() -> None:
    assert {row[0] for row in RESULTS} == set(Ending)


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("by", list(EndedBy))
def test_the_verdict_and_who_ended_it(verdict: Verdict, by: EndedBy) -> None:
    expect(of(completion(verdict=verdict, ended_by=by)), decision=verdict.value, ended_by=by.value)


@pytest.mark.parametrize(
    ("upstream", "facts", "found"),
    [("chosen", (OPENAI,), "chosen"), (None, (OPENAI,), "openai"), ("chosen", (), "chosen"), (None, (), "")],
)
def test_where_it_went(upstream: str | None, facts: tuple[object, ...], found: str) -> None:
    """What Envoy chose counts; where it chose nothing, what the gateway had decided."""
    assert of(completion(*facts, upstream=upstream)).upstream == found


@pytest.mark.parametrize(
    ("seconds", "micros", "millis"),
    [(0.0, 0, 0), (0.0000004, 0, 0), (0.0004, 400, 0), (0.0016, 1_600, 2), (3_600, 3_600_000_000, 3_600_000)],
)
def test_times_are_whole_numbers(seconds: float, micros: int, millis: int) -> None:
    found = of(completion(duration=seconds, first_byte=seconds))
    expect(found, latency_us=micros, latency_ms=millis, first_byte_us=micros)


# What it used


@pytest.mark.parametrize(
    ("charge", "changes", "tokens", "cost"),
    [
        (METERED, {}, Tokens(5, 50, 40, 30, 10, 125, 210), "0.004500"),
        (replace(METERED, dollars=None), {}, Tokens(5, 50, 40, 30, 10, 125, 210), ""),
        # What is free has a price.
        (replace(METERED, dollars=0), {}, Tokens(5, 50, 40, 30, 10, 125, 210), "0.000000"),
        (Charged(Portions(), Basis.NOTHING, 1, 0, 0), {}, None, "0.000000"),
        # What did not go up has none.
        (NOTHING, {"verdict": Verdict.REJECT, "ending": Ending.REJECTED}, None, ""),
        (NOTHING, {"verdict": Verdict.NONE, "ending": Ending.CLIENT_GONE}, None, ""),
        (NOTHING, {"verdict": Verdict.RESPOND, "ending": Ending.RESPONDED}, None, ""),
        (Charged(Portions(), Basis.ESTIMATE, 1, 7, None), {}, Tokens(weighted=7), ""),
    ],
)
def test_tokens_and_cost(charge: Charged, changes: dict[str, Any], tokens: Tokens | None, cost: str) -> None:
    found = of(completion(**changes), charge)
    expect(found, tokens=tokens, cost=cost, basis=charge.basis.value, requests=charge.requests)


@given(st.builds(Portions, *[st.integers(0, 10**12)] * 5), st.integers(0, 10**12))
def test_the_total_is_the_sum_of_what_stands_beside_each_other(portions: Portions, weighted: int) -> None:
    found = of(completion(), Charged(portions, Basis.METERED, 1, weighted, None)).tokens or Tokens()
    assert found.total == found.input + found.cached_input + found.cache_write + found.output
    assert (found.reasoning, found.weighted) == ((portions.reasoning, weighted) if found.total or weighted else (0, 0))


# Both halves


def test_both_halves_of_an_exchange_say_the_same_of_it() -> None:
    """A record of either kind can be counted by tenant, user, application and model."""
    facts = (ALICE, CHAT, OPENAI, RESERVED)
    words = Marked()
    first = decided(exchange(*facts), None, (), words, session="", prompts=False)
    last = closed(completion(*facts), METERED, words)
    apart = {"kind", "event", "level", "result"}
    assert {name: last[name] for name in first if name not in apart} == {
        name: value for name, value in first.items() if name not in apart
    }


def test_every_word_of_a_client_or_provider_is_looked_at() -> None:
    ended = completion(ALICE, CHAT, backend="b", response_model="m", details="d")
    expect(
        of(ended, words=Marked()),
        request_id="<q-1>",
        method="<POST>",
        path="</v1/chat/completions>",
        model="<gpt-4o>",
        backend="<b>",
        response_model="<m>",
        details="<d>",
        user_id="contoso:alice",
    )


TEXT = st.text(max_size=20)


@given(TEXT, TEXT, TEXT, TEXT, st.floats(0, 10**6), st.none() | st.floats(0, 10**6))
def test_whatever_ends_can_be_recorded(
    path: str, method: str, model: str, details: str, duration: float, first: float | None
) -> None:
    ended = completion(
        path=path, method=method, response_model=model, details=details, duration=duration, first_byte=first
    )
    assert of(ended, METERED, Redactor(RedactionSettings(), b"k" * 32)).exchange_id == "e-1"
