"""A completion as one JSON line, for people and log collectors. No prompt, no answer, no token, no query."""

from __future__ import annotations

from typing import Any, Final

import orjson
from msgspec.structs import asdict

from extproc.completion import Completion, Usage

# What few answers have: left out where there is none.
_RARE: Final = frozenset({"cache_write_1h", "audio_input", "audio_output", "tool_calls", "tier"})


def line(completion: Completion) -> bytes:
    """One line of JSON without its newline."""
    return orjson.dumps(record(completion))


def record(completion: Completion) -> dict[str, Any]:
    """The completion as a flat mapping; members without a value are left out."""
    usage = completion.usage
    values: dict[str, Any] = {
        "timestamp": completion.started,
        "event": "completion",
        "request_id": completion.request_id,
        "exchange_id": completion.id,
        "method": completion.method,
        "path": completion.path,
        "status": completion.status,
        "verdict": completion.verdict,
        "ending": completion.ending,
        "ended_by": completion.ended_by,
        "latency_ms": _milliseconds(completion.duration),
    }
    if completion.first_byte is not None:
        values["first_byte_ms"] = _milliseconds(completion.first_byte)
    values["bytes_in"] = completion.bytes_in
    values["bytes_out"] = completion.bytes_out
    if completion.upstream is not None:
        values["upstream"] = completion.upstream
    if completion.backend is not None:
        values["backend"] = completion.backend
    if completion.route is not None:
        values["route"] = completion.route
    if completion.response_model is not None:
        values["response_model"] = completion.response_model
    if completion.output_floor:
        values["output_floor"] = completion.output_floor
    if usage is None and completion.unmetered:
        values["unmetered"] = True
    if completion.marks:
        values["marks"] = completion.marks
    if completion.flags:
        values["flags"] = completion.flags
    if completion.details:
        values["details"] = completion.details
    if completion.decisions:
        values["decisions"] = [asdict(decision) for decision in completion.decisions]
    _say_who(completion, values)
    if usage is not None:
        values["usage"] = _counts(usage)
    return values


def _milliseconds(seconds: float) -> float:
    """To the microsecond. To round to places behind the point takes ten times as long."""
    return round(seconds * 1_000_000) / 1000


def _counts(usage: Usage) -> dict[str, Any]:
    return {name: value for name in usage.__struct_fields__ if (value := getattr(usage, name)) or name not in _RARE}


def _say_who(completion: Completion, values: dict[str, Any]) -> None:
    """Who called, and what for."""
    identity, call = completion.identity, completion.call
    if identity is not None:
        values["tenant_id"] = identity.tenant
        if identity.tenant_name:
            values["tenant"] = identity.tenant_name
        values["user_id"] = identity.user
        values["app_id"] = identity.app
        values["caller"] = identity.kind
        if identity.department:
            values["department"] = identity.department
        if identity.cost_centre:
            values["cost_centre"] = identity.cost_centre
    if call is not None:
        values["operation"] = call.operation
        if call.model is not None:
            values["model"] = call.model
        values["stream"] = call.stream
        if call.route is not None:
            values["route"] = call.route
