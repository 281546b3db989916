"""Completions as lines of JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from extproc.call import Call, Operation, Payload
from extproc.completion import Completion, Decision, EndedBy, Ending, Meter, Usage, Verdict, by_type
from extproc.completion_log import line, record
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity

LEAST = Completion(
    id="ex-1",
    request_id="req-1",
    method="GET",
    path="/",
    status=404,
    verdict=Verdict.NONE,
    ending=Ending.REFUSED,
    ended_by=EndedBy.GATEWAY,
    started=datetime(2026, 11, 21, 2, 33, 45, 473886, UTC),
    duration=0.0942143981,
    first_byte=None,
    bytes_in=0,
    bytes_out=12,
)
LEAST_LINE: dict[str, Any] = {
    "timestamp": "2026-11-21T02:33:45.473886+00:00",
    "event": "completion",
    "request_id": "req-1",
    "exchange_id": "ex-1",
    "method": "GET",
    "path": "/",
    "status": 404,
    "verdict": "none",
    "ending": "refused",
    "ended_by": "gateway",
    "latency_ms": 94.214,
    "bytes_in": 0,
    "bytes_out": 12,
}
IDENTITY = Identity(
    "t1",
    "u1",
    "a1",
    CallerKind.USER,
    roles=frozenset({"User"}),
    tenant_name="Contoso",
    department="R&D",
    cost_centre="4711",
    token_id="uti",
)
CALL = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o", stream=True)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {}),
        ({"first_byte": 0.0}, {"first_byte_ms": 0.0}),
        ({"first_byte": 0.0012344}, {"first_byte_ms": 1.234}),
        (
            {"upstream": "up", "backend": "b", "response_model": "m"},
            {"upstream": "up", "backend": "b", "response_model": "m"},
        ),
        ({"output_floor": 3, "flags": ("x",), "details": "d"}, {"output_floor": 3, "flags": ["x"], "details": "d"}),
        ({"marks": ("soft_limit", "clamped")}, {"marks": ["soft_limit", "clamped"]}),
        (
            {"decisions": (Decision("access", "reject", "no", "why", enforced=False),)},
            {"decisions": [{"policy": "access", "outcome": "reject", "code": "no", "why": "why", "enforced": False}]},
        ),
        (
            {"usage": Usage(1, 2, 3, meter=Meter.AI_GATEWAY)},
            {
                "usage": {
                    "input": 1,
                    "output": 2,
                    "total": 3,
                    "cached_input": 0,
                    "cache_write": 0,
                    "reasoning": 0,
                    "meter": "ai_gateway",
                }
            },
        ),
        (
            {
                "usage": Usage(
                    1, 2, 3, cache_write=9, cache_write_1h=4, audio_input=5, audio_output=6, tool_calls=7, tier="flex"
                )
            },
            {
                "usage": {
                    "input": 1,
                    "output": 2,
                    "total": 3,
                    "cached_input": 0,
                    "cache_write": 9,
                    "reasoning": 0,
                    "meter": "lua",
                    "cache_write_1h": 4,
                    "audio_input": 5,
                    "audio_output": 6,
                    "tool_calls": 7,
                    "tier": "flex",
                }
            },
        ),
        (
            {"facts": by_type([IDENTITY])},
            {
                "tenant_id": "t1",
                "tenant": "Contoso",
                "user_id": "u1",
                "app_id": "a1",
                "caller": "user",
                "department": "R&D",
                "cost_centre": "4711",
            },
        ),
        (
            {"facts": by_type([Identity("t", "u", "a", CallerKind.APP)])},
            {"tenant_id": "t", "user_id": "u", "app_id": "a", "caller": "app"},
        ),
        ({"facts": by_type([CALL])}, {"operation": "chat", "model": "gpt-4o", "stream": True}),
    ],
)
def test_lines(changes: dict[str, Any], more: dict[str, Any]) -> None:
    assert json.loads(line(msgspec.structs.replace(LEAST, **changes))) == {**LEAST_LINE, **more}


def test_a_line_is_one_line() -> None:
    hostile = msgspec.structs.replace(LEAST, path="/a\r\nb\u2028", details='"}\n{"')
    assert b"\n" not in line(hostile)
    assert json.loads(line(hostile))["path"] == "/a\r\nb\u2028"


def test_facts_that_are_nobodys_business_are_not_written() -> None:
    facts = by_type([IDENTITY, CALL, Payload({"messages": ["hunter2"]})])
    assert "hunter2" not in str(record(msgspec.structs.replace(LEAST, facts=facts)))
    assert "uti" not in str(record(msgspec.structs.replace(LEAST, facts=facts)))
