"""What Langfuse is told of an exchange."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Closed, Tokens
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.generations import LONGEST, cost, generation, usage
from tests.policies.audit.sinks.made import records
from tests.policies.audit.sinks.trace_receiver import START, TRACE, both, closing, decision, exchange_id, refused


def of(halves: list[Closed]) -> Exchange:
    return Exchange(halves[0].record, halves[1].record)


def test_a_call_that_was_answered() -> None:
    told = generation(of([decision(1, trace_id=TRACE), closing(1)]))
    assert (told.kind, told.name, told.model) == ("generation", "chat", "gpt-4o")
    assert (told.trace, told.span) == (TRACE, exchange_id(1)[16:])
    assert (told.start - START, told.end - START) == (0, 1_500_000_000)
    assert told.first_token == datetime(2026, 11, 21, 13, 38, 23, tzinfo=UTC) + timedelta(milliseconds=250)
    assert told.parameters == {"temperature": 0.5, "max_tokens": 100, "stop": ["END"]}
    assert told.cost == {"total": 0.001234}
    assert (told.user, told.session) == ("kim", "session-1")
    assert told.tags == ("department:research", "app:app-7", "upstream:azure-east", "price_fallback")
    assert (told.level, told.message, told.input, told.version) == ("DEFAULT", None, None, "1.2.3")
    assert told.metadata == {
        "exchange_id": exchange_id(1),
        "request_id": "request-1",
        "tenant": "contoso",
        "tenant_id": "11111111-1111-1111-1111-111111111111",
        "cost_centre": "cc-1",
        "response_model": "gpt-4o-2024-11-20",
        "decision": "allow",
        "ending": "answered",
        "basis": "metered",
        "status": 200,
    }


@pytest.mark.parametrize(
    ("tokens", "buckets"),
    [
        (None, {}),
        (Tokens(), {}),
        (Tokens(input=10, output=20, total=30), {"input": 10, "output": 20, "total": 30}),
        (
            Tokens(cache_write=1, cached_input=2, input=10, output=20, reasoning=5, total=33),
            {
                "input": 10,
                "input_cached_tokens": 2,
                "input_cache_creation": 1,
                "output": 15,
                "output_reasoning_tokens": 5,
                "total": 33,
            },
        ),
        (Tokens(input=7, total=7), {"input": 7, "total": 7}),
    ],
)
def test_usage(tokens: Tokens | None, buckets: dict[str, int]) -> None:
    assert usage(tokens) == buckets


counts = st.integers(0, 10**9)
NAMES = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "output", "audio_output")


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, counts)), counts)
def test_no_token_is_in_two_buckets(spent: dict[str, int], reasoning: int) -> None:
    tokens = Tokens(**spent, reasoning=min(reasoning, spent["output"]), total=sum(spent.values()), tool_calls=3)
    found = usage(tokens)
    said = found.pop("total", 0)
    # As Langfuse adds them up.
    assert sum(count for name, count in found.items() if "input" in name) == tokens.taken
    assert sum(count for name, count in found.items() if "output" in name) == tokens.made
    assert said == tokens.total == sum(found.values())


def test_searches_are_no_tokens() -> None:
    told = generation(of([decision(1), closing(1, tokens=Tokens(input=1, total=1, tool_calls=2))]))
    assert (told.usage, told.metadata["tool_calls"]) == ({"input": 1, "total": 1}, 2)


@pytest.mark.parametrize(
    ("text", "dollars"),
    [
        ("0.001234", {"total": 0.001234}),
        ("0.000000", {"total": 0.0}),
        ("1234567.000001", {"total": 1234567.000001}),
        ("", {}),
        ("much", {}),
        ("NaN", {}),
    ],
)
def test_cost(text: str, dollars: dict[str, float]) -> None:
    assert cost(text) == dollars


@pytest.mark.parametrize(
    ("fields", "kind", "name"),
    [
        ({"operation": "responses"}, "generation", "responses"),
        ({"operation": "embeddings"}, "embedding", "embeddings"),
        ({"operation": "agent"}, "agent", "agent"),
        ({"operation": "mcp", "tool": "search"}, "tool", "search"),
        ({"operation": "models"}, "span", "models"),
        ({"operation": ""}, "span", "request"),
    ],
)
def test_what_kind_of_observation(fields: dict[str, Any], kind: str, name: str) -> None:
    told = generation(of([decision(1, **fields), closing(1, **fields, tokens=None, cost="")]))
    assert (told.kind, told.name) == (kind, name)
    # Langfuse has usage and cost of two kinds alone.
    spent = generation(of(both(1, **fields)))
    assert (spent.kind, spent.name) == ("embedding" if kind == "embedding" else "generation", name)


@pytest.mark.parametrize(
    ("halves", "level", "message"),
    [
        (both(1), "DEFAULT", None),
        (refused(1), "WARNING", "limits: budget_exhausted: the month's budget is spent"),
        (both(1, result="failure", ending="upstream_cut", status=200), "ERROR", "upstream_cut: status 200"),
        (both(1, result="failure", ending="answered", status=500), "ERROR", "status 500"),
        (both(1, result="aborted", ending="client_gone", status=0), "WARNING", "client_gone"),
    ],
)
def test_level(halves: list[Closed], level: str, message: str | None) -> None:
    told = generation(of(halves))
    assert (told.level, told.message) == (level, message)


def test_what_was_refused_has_used_nothing() -> None:
    told = generation(of(refused(1)))
    assert (told.usage, told.cost, told.first_token) == ({}, {}, None)
    assert told.metadata["policy"] == "limits"


MESSAGES = [{"role": "user", "content": "[email:3f9a1c0b] asks"}]


@pytest.mark.parametrize(
    ("params", "given"),
    [
        ({"max_tokens": 5}, None),
        ({"messages": MESSAGES, "max_tokens": 5}, MESSAGES),
        ({"messages": MESSAGES, "system": "be brief"}, {"system": "be brief", "messages": MESSAGES}),
        ({"input": "a text"}, {"input": "a text"}),
    ],
)
def test_prompts_are_there_where_the_journal_has_them(params: dict[str, Any], given: Any) -> None:
    told = generation(of(both(1, params=params)))
    assert told.input == given
    assert told.parameters == ({"max_tokens": 5} if "max_tokens" in params else {})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0.5", 0.5),
        ("-2", -2.0),
        ("high", "high"),
        ("infinity", "infinity"),
        ("1e999", "1e999"),
        ("1.2.3", "1.2.3"),
        (True, True),
        ({"type": "enabled"}, None),
        ([1, 2], None),
        (None, None),
    ],
)
def test_parameters(value: Any, found: Any) -> None:
    told = generation(of(both(1, params={"x": value})))
    assert told.parameters == ({"x": found} if found is not None else {})


def test_without_a_user_the_application_is_one() -> None:
    assert generation(of(both(1, user_id=""))).user == "app-7"
    assert generation(of(both(1, user_id="", app_id=""))).user is None


def test_a_closing_alone_is_told_with_what_it_knows() -> None:
    told = generation(Exchange(None, closing(1).record))
    assert (told.trace, told.user, told.session, told.parameters) == (exchange_id(1), "kim", None, {})


@given(records, records)
def test_any_record_is_told_within_bounds(decided: Closed, ended: Closed) -> None:
    told = generation(Exchange(decided.record, ended.record))
    assert told.start <= told.end
    assert all(len(text) <= LONGEST for text in (told.name, told.user or "", told.session or "", *told.tags))
