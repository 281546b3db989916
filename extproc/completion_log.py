"""A completion as one JSON line, for people and log collectors. No prompt, no answer, no token, no query."""

from __future__ import annotations

from typing import Any

import orjson

from extproc.completion import Completion


def line(completion: Completion) -> bytes:
    """One line of JSON without its newline."""
    return orjson.dumps(record(completion))


def record(completion: Completion) -> dict[str, Any]:
    """The completion as a flat mapping; members without a value are left out."""
    identity, call, usage = completion.identity, completion.call, completion.usage
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
        "latency_ms": round(completion.duration * 1000, 3),
        "first_byte_ms": None if completion.first_byte is None else round(completion.first_byte * 1000, 3),
        "bytes_in": completion.bytes_in,
        "bytes_out": completion.bytes_out,
        "upstream": completion.upstream,
        "backend": completion.backend,
        "response_model": completion.response_model,
        "output_floor": completion.output_floor or None,
        "unmetered": completion.unmetered or None,
        "flags": list(completion.flags) or None,
        "details": completion.details or None,
        "decisions": list(completion.decisions) or None,
    }
    if identity is not None:
        values |= {
            "tenant_id": identity.tenant,
            "tenant": identity.tenant_name or None,
            "user_id": identity.user,
            "app_id": identity.app,
            "caller": identity.kind,
            "department": identity.department or None,
            "cost_centre": identity.cost_centre or None,
        }
    if call is not None:
        values |= {"operation": call.operation, "model": call.model, "stream": call.stream, "route": call.route}
    if usage is not None:
        values["usage"] = usage
    return {name: value for name, value in values.items() if value is not None}
