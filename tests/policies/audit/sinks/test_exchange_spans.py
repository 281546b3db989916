"""What spans an exchange has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given

from policies.audit.record import Closed, Record, Said, Timing
from policies.audit.sinks import exchange_spans
from policies.audit.sinks.exchange_spans import spans
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.otlp_spans import Outcome, Span, SpanKind, message
from policies.audit.sinks.span_ids import span_id
from tests.policies.audit.sinks.made import full, records
from tests.policies.audit.sinks.trace_receiver import START, TRACE, both, closing, decision, exchange_id, refused

MILLI = 1_000_000


def of(halves: list[Closed]) -> Exchange:
    return Exchange(halves[0].record, halves[1].record)


def test_a_call_that_was_answered() -> None:
    server, decide, call = spans(of([decision(1, trace_id=TRACE), closing(1)]))
    assert {one.trace for one in (server, decide, call)} == {TRACE}
    assert (server.span, server.parent, server.kind) == (span_id(exchange_id(1)), "", SpanKind.SERVER)
    assert {decide.parent, call.parent} == {server.span}
    assert (server.name, decide.name, call.name) == ("POST /v1/chat/completions", "decide", "chat gpt-4o")
    assert [(one.start - START, one.end - START) for one in (server, decide, call)] == [
        (0, 1_500 * MILLI),
        (0, 4 * MILLI),
        (4 * MILLI, 1_500 * MILLI),
    ]
    assert call.kind is SpanKind.CLIENT
    [first] = call.events
    assert (first.name, first.time - START) == ("first_byte", 250 * MILLI)
    assert {one.outcome for one in (server, decide, call)} == {Outcome.UNSET}
    assert server.events == ()


def test_attributes_are_those_of_the_conventions() -> None:
    server, _, call = spans(of(both(1)))
    expected: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-11-20",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.usage.input_tokens": 13,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
    }
    for found in (server.attributes, call.attributes):
        assert {name: found.get(name) for name in expected} == expected
        assert "error.type" not in found
    assert (call.attributes["gen_ai.conversation.id"], call.attributes["sluicegate.upstream"]) == (
        "session-1",
        "azure-east",
    )
    assert {"http.request.method": "POST", "user.id": "kim", "sluicegate.cost": "0.001234"}.items() <= (
        server.attributes.items()
    )


def test_a_refusal_is_an_event_and_nothing_went_up() -> None:
    server, decide = spans(of(refused(1)))
    [event] = server.events
    assert (event.name, event.time - START) == ("sluicegate.refused", 4 * MILLI)
    assert event.attributes == {
        "sluicegate.policy": "limits",
        "sluicegate.outcome": "reject",
        "sluicegate.enforced": True,
        "error.type": "budget_exhausted",
        "sluicegate.why": "the month's budget is spent",
    }
    assert server.attributes["error.type"] == "budget_exhausted"
    # A refusal is the gateway doing its work: 4xx is no error of a server's span.
    assert server.outcome is Outcome.UNSET
    assert decide.attributes == {"sluicegate.decision": "reject"}


def test_what_a_policy_that_watches_would_have_refused() -> None:
    said = (Said("too_many", False, "reject", "limits", ""), Said("", True, "mutate", "access", ""))
    server = spans(of(both(1, decisions=said)))[0]
    assert [one.name for one in server.events] == ["sluicegate.would_refuse"]


@pytest.mark.parametrize(
    ("fields", "outcome", "error"),
    [
        ({"result": "failure", "ending": "upstream_cut"}, Outcome.ERROR, "upstream_cut"),
        ({"result": "failure", "status": 503}, Outcome.ERROR, "503"),
        ({"result": "aborted", "ending": "client_gone", "status": 0}, Outcome.UNSET, "client_gone"),
    ],
)
def test_what_failed(fields: dict[str, Any], outcome: Outcome, error: str) -> None:
    server, _, call = spans(of([decision(1), closing(1, **fields)]))
    assert (server.outcome, call.outcome) == (outcome, outcome)
    assert server.attributes["error.type"] == call.attributes["error.type"] == error


def timed(took: Mapping[str, int], halves: list[Closed]) -> list[Closed]:
    """The same with these timings in its decision."""
    told = tuple(Timing(microseconds, policy) for policy, microseconds in took.items())
    first = halves[0]
    record = msgspec.structs.replace(first.record, timings=told)
    return [msgspec.structs.replace(first, record=record), *halves[1:]]


def test_policies_stand_one_after_the_other_before_the_decision() -> None:
    server, decide, entra, limits = spans(of(timed({"entra": 500, "limits": 1_500}, refused(1))))
    assert {entra.parent, limits.parent} == {decide.span}
    assert (entra.name, limits.name) == ("policy entra", "policy limits")
    assert [(one.start - START, one.end - START) for one in (entra, limits)] == [
        (2 * MILLI, 2_500_000),
        (2_500_000, 4 * MILLI),
    ]
    assert [one.name for one in limits.events] == ["sluicegate.refused"]
    assert entra.events == ()
    assert limits.attributes["error.type"] == "budget_exhausted"
    assert entra.attributes == {"sluicegate.policy": "entra"}
    assert server.attributes["sluicegate.timings.limits"] == 1_500


@pytest.mark.parametrize(
    ("told", "found"),
    [({"entra": 5}, {"entra": 5}), ({"entra": -5, "access": 0}, {"access": 0}), ({}, {})],
)
def test_timings_where_a_record_has_them(told: dict[str, int], found: dict[str, int]) -> None:
    record = timed(told, [decision(1)])[0].record
    assert exchange_spans.timings(record) == found


@pytest.mark.parametrize("decided", [None, decision(1, recovered="decision").record])
def test_where_nobody_knows_when_it_was_decided(decided: Record | None) -> None:
    server, call = spans(Exchange(decided, closing(1).record))
    assert (server.name, call.name) == ("POST /v1/chat/completions", "chat gpt-4o")
    assert call.start == server.start


def test_paths_that_nobody_serves_are_no_name() -> None:
    server = spans(of(refused(1, operation="", path="/.env?x", model="")))[0]
    assert server.name == "POST"
    assert server.attributes["url.path"] == "/.env?x"


def test_prompts_are_on_no_span() -> None:
    halves = both(1, params={"messages": [{"role": "user", "content": "hunter2"}], "max_tokens": 5})
    assert "hunter2" not in repr(spans(of(halves)))


def ends(found: list[Span]) -> bool:
    return all(one.start <= one.end for one in found)


@given(records, records)
def test_any_record_has_spans_that_can_be_sent(decided: Closed, ended: Closed) -> None:
    found = spans(Exchange(decided.record, msgspec.structs.replace(ended.record, started="")))
    assert ends(found)
    assert all(message(one).SerializeToString() for one in found)
    assert len({one.span for one in found}) == len(found)


def test_a_full_record_has_them() -> None:
    record = msgspec.structs.replace(full(1).record, started="")
    assert ends(spans(Exchange(record, record)))
