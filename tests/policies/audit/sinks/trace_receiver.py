"""A receiver of spans, and exchanges for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from policies.audit.record import Closed, Kind, Name, Reserved, Said, Tokens
from policies.audit.sinks.otlp_messages import ExportTraceServiceRequest, Message
from tests.policies.audit.sinks.made import made
from tests.policies.audit.sinks.otlp_receiver import Receiver, named

STARTED: Final = "2026-11-21T13:38:23.000000Z"
DECIDED: Final = "2026-11-21T13:38:23.004000Z"
START: Final = 1_795_268_303_000_000_000
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"


class TraceReceiver(Receiver):
    """Decodes ExportTraceServiceRequest."""

    path = "/v1/traces"

    def decoded(self, content: bytes) -> tuple[Message, list[Message]]:
        request = ExportTraceServiceRequest.FromString(content)
        return request, list(spans_of(request))


class LangfuseReceiver(TraceReceiver):
    """As Langfuse has it. `base` is what its settings name."""

    path = "/api/public/otel/v1/traces"

    @property
    def base(self) -> str:
        return self.url.removesuffix(self.path)


def spans_of(request: Message) -> Iterable[Message]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def told(span: Message) -> dict[str, Any]:
    """Its attributes."""
    return named(span.attributes)


def exchange_id(number: int) -> str:
    return f"{number:016x}{number:016x}"


def decision(number: int, sequence: int = 0, **fields: Any) -> Closed:
    """Of an exchange that goes up."""
    whole: dict[str, Any] = {
        "event": Name.ALLOWED,
        "kind": Kind.DECISION,
        "exchange_id": exchange_id(number),
        "request_id": f"request-{number}",
        "timestamp": DECIDED,
        "decision": "allow",
        "result": "success",
        "session_id": "session-1",
        "params": {"temperature": "0.5", "max_tokens": 100, "stop": ["END"]},
        "reserved": Reserved(1, 2, 3, 4),
        **_WHO,
    }
    return made(sequence or 2 * number - 1, **(whole | fields))


def closing(number: int, sequence: int = 0, **fields: Any) -> Closed:
    """Of the same exchange: answered."""
    whole: dict[str, Any] = {
        "event": Name.CLOSED,
        "kind": Kind.CLOSING,
        "exchange_id": exchange_id(number),
        "request_id": f"request-{number}",
        "started": STARTED,
        "decision": "allow",
        "result": "success",
        "ending": "answered",
        "status": 200,
        "basis": "metered",
        "requests": 1,
        "cost": "0.001234",
        "tokens": Tokens(cache_write=1, cached_input=2, input=10, output=20, reasoning=5, total=33, weighted=40),
        "latency_us": 1_500_000,
        "first_byte_us": 250_000,
        "response_model": "gpt-4o-2024-11-20",
        **_WHO,
    }
    return made(sequence or 2 * number, **(whole | fields))


def both(number: int, **fields: Any) -> list[Closed]:
    """Decision and closing; `fields` are of both."""
    return [decision(number, **fields), closing(number, **fields)]


def refused(number: int, **fields: Any) -> list[Closed]:
    """Of an exchange that a limit refused."""
    shared: dict[str, Any] = {
        "decision": "reject",
        "result": "refused",
        "upstream": "",
        "decisions": (Said("budget_exhausted", True, "reject", "limits", "the month's budget is spent"),),
    }
    why = {"reason": "budget_exhausted", "policy": "limits", "why": "the month's budget is spent", "status": 429}
    ended = {"ending": "rejected", "status": 429, "tokens": None, "cost": "", "requests": 0, "first_byte_us": 0}
    return [
        decision(number, event=Name.LIMIT_REACHED, **(shared | why | fields)),
        closing(number, response_model="", **(shared | ended | fields)),
    ]


_WHO: Final[dict[str, Any]] = {
    "app_id": "app-7",
    "department": "research",
    "cost_centre": "cc-1",
    "dialect": "openai",
    "method": "POST",
    "model": "gpt-4o",
    "operation": "chat",
    "path": "/v1/chat/completions",
    "tenant": "contoso",
    "tenant_id": "11111111-1111-1111-1111-111111111111",
    "upstream": "azure-east",
    "user_id": "kim",
    "version": "1.2.3",
    "marks": ("price_fallback",),
}


def fields_of(closed: Closed) -> dict[str, Any]:
    """For a journal that numbers its records itself."""
    said = msgspec.structs.asdict(closed.record)
    return {name: value for name, value in said.items() if name not in ("journal", "sequence", "previous", "schema")}
