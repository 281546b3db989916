"""Names of the semantic conventions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from policies.audit.record import Closed, Record, Tokens
from policies.audit.sinks.otlp_attributes import attributes
from tests.policies.audit.sinks.made import full, made, records


def test_a_record_with_few_members_has_few_attributes() -> None:
    closed = made(3)
    assert attributes(closed) == {
        "log.record.uid": "gateway-1.0/3",
        "sluicegate.hash": closed.hash,
        "sluicegate.journal": "gateway-1.0",
        "sluicegate.kind": "closing",
        "sluicegate.previous": "0" * 64,
        "sluicegate.schema": 1,
        "sluicegate.sequence": 3,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http.request.method", "<method>"),
        ("http.response.status_code", 429),
        ("http.request.body.size", 1),
        ("http.response.body.size", 2),
        ("url.path", "<path>"),
        ("user.id", "<user_id>"),
        ("user.roles", ("Admin", "User")),
        ("session.id", "<session_id>"),
        ("error.type", "<reason>"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "<model>"),
        ("gen_ai.request.max_tokens", 7),
        ("gen_ai.request.temperature", 0.5),
        ("gen_ai.request.stream", True),
        ("gen_ai.response.model", "<response_model>"),
        ("gen_ai.tool.name", "<tool>"),
        ("gen_ai.usage.input_tokens", 1 + 2 + 3),
        ("gen_ai.usage.output_tokens", 4),
        ("gen_ai.usage.cache_creation.input_tokens", 1),
        ("gen_ai.usage.cache_read.input_tokens", 2),
        ("gen_ai.usage.reasoning.output_tokens", 5),
        ("sluicegate.tokens.weighted", 12),
        ("sluicegate.reserved.tokens", 4),
        ("sluicegate.tenant", "<tenant>"),
        ("sluicegate.cost", "0.001234"),
        ("sluicegate.redacted", True),
    ],
)
def test_a_full_record(name: str, value: object) -> None:
    assert attributes(full())[name] == value


@pytest.mark.parametrize(
    ("operation", "dialect", "expected"),
    [
        ("chat", "openai", {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}),
        ("messages", "anthropic", {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"}),
        ("completions", "openai", {"gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "openai"}),
        ("embeddings", "openai", {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai"}),
        ("agent", "jsonrpc", {"gen_ai.operation.name": "invoke_agent"}),
        ("models", "openai", {}),
        ("opaque", "", {}),
    ],
)
def test_operations(operation: str, dialect: str, expected: dict[str, str]) -> None:
    found = attributes(made(operation=operation, dialect=dialect))
    assert {name: value for name, value in found.items() if name.startswith("gen_ai.")} == expected


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"result": "refused", "reason": "budget_exceeded", "status": 429}, "budget_exceeded"),
        ({"result": "aborted", "ending": "client_gone"}, "client_gone"),
        ({"result": "failure", "ending": "answered", "status": 503}, "503"),
        ({"result": "failure"}, "_OTHER"),
        ({"result": "success", "status": 200, "reason": "x"}, None),
        ({}, None),
    ],
)
def test_error_types(fields: dict[str, Any], kind: str | None) -> None:
    assert attributes(made(**fields)).get("error.type") == kind


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_completion_tokens": 12, "n": 2, "seed": -1}, {"max_tokens": 12, "choice.count": 2, "seed": -1}),
        ({"top_p": "0.25", "top_k": 40}, {"top_p": 0.25, "top_k": 40.0}),
        ({"presence_penalty": "-1.5"}, {"presence_penalty": -1.5}),
        ({"temperature": "nan", "top_p": "inf", "n": "many", "seed": True, "top_k": ["1"]}, {}),
        ({"seed": str(2**63), "max_tokens": "9" * 5_000}, {}),
        ({"messages": "secret"}, {}),
    ],
)  # fmt: skip
def test_parameters(params: dict[str, Any], expected: dict[str, Any]) -> None:
    found = attributes(made(params=params))
    names = {"choice.count": "gen_ai.request.choice.count"}
    wanted = {names.get(name, f"gen_ai.request.{name}"): value for name, value in expected.items()}
    assert {name: value for name, value in found.items() if name.startswith("gen_ai.")} == wanted
    assert "secret" not in str(found)


def test_no_member_is_forgotten() -> None:
    elsewhere = {"event", "level", "params", "timestamp", "tokens", "trace_id", "version", "decisions", "reserved"}
    distinct: dict[str, Any] = {
        name: f"<{name}>" for name, kind in Record.__annotations__.items() if kind == "str" and name not in elsewhere
    }
    values = [value for value in attributes(full(**distinct)).values() if isinstance(value, str)]
    assert set(distinct.values()) <= set(values)


def test_tokens_that_are_none_are_told() -> None:
    assert attributes(made(tokens=Tokens(weighted=1)))["gen_ai.usage.output_tokens"] == 0


@given(records)
def test_values_are_of_the_types_that_there_are(closed: Closed) -> None:
    for name, value in attributes(closed).items():
        assert isinstance(value, str | bool | int | float | tuple), name
        assert value not in (None, "", ())


def test_all_that_was_taken_and_made_is_counted_inside() -> None:
    tokens = Tokens(
        input=1, cached_input=2, cache_write=4, cache_write_1h=8, audio_input=16, output=32, audio_output=64, total=127
    )
    found = attributes(made(tokens=tokens))
    assert found["gen_ai.usage.input_tokens"] == 31
    assert found["gen_ai.usage.output_tokens"] == 96
    assert found["gen_ai.usage.cache_creation.input_tokens"] == 12
