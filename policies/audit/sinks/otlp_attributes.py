"""A record under the names of OpenTelemetry's semantic conventions, as far as they have any. Pure.

`http.*`, `url.*`, `user.*`, `session.*`, `error.*`, `log.*`: semantic conventions 1.44. `gen_ai.*`: those of generative
AI, which are in development. All else is under `sluicegate.`, by the record's own name. Prompts are no attributes: where
a tenant opted in, they stand in the body.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from policies.audit.record import Closed, Record, Tokens

Attribute: TypeAlias = str | bool | int | float | Sequence[str]

OPERATIONS: Final[Mapping[str, str]] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "agent": "invoke_agent",
}
"""`gen_ai.operation.name` by the gateway's operation; a call of a tool is `execute_tool`."""
PROVIDERS: Final[Mapping[str, str]] = {"openai": "openai", "anthropic": "anthropic"}
"""`gen_ai.provider.name` by the dialect of the call: which flavour of the conventions, not who runs the model."""
_STANDARD: Final[Mapping[str, str]] = {
    "method": "http.request.method",
    "status": "http.response.status_code",
    "bytes_in": "http.request.body.size",
    "bytes_out": "http.response.body.size",
    "path": "url.path",
    "user_id": "user.id",
    "roles": "user.roles",
    "session_id": "session.id",
    "model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "tool": "gen_ai.tool.name",
    "stream": "gen_ai.request.stream",
}
_ELSEWHERE: Final = frozenset(
    {"event", "level", "params", "timestamp", "timings", "tokens", "trace_id", "version", "decisions", "reserved"}
)
"""Members that stand in the log record itself, its resource or its body, or that are taken apart here."""
_PARAMETERS: Final[Mapping[str, tuple[str, type[int] | type[float]]]] = {
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "max_output_tokens": ("gen_ai.request.max_tokens", int),
    "max_completion_tokens": ("gen_ai.request.max_tokens", int),
    "n": ("gen_ai.request.choice.count", int),
    "seed": ("gen_ai.request.seed", int),
    "temperature": ("gen_ai.request.temperature", float),
    "top_p": ("gen_ai.request.top_p", float),
    "top_k": ("gen_ai.request.top_k", float),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
}
_INT64: Final = range(-(1 << 63), 1 << 63)
_FAILED: Final = frozenset({"refused", "failure", "aborted"})


def attributes(closed: Closed) -> dict[str, Attribute]:
    """All that has a value, by its name."""
    record = closed.record
    return {
        "log.record.uid": f"{record.journal}/{record.sequence}",
        "sluicegate.hash": closed.hash,
        **of_record(record),
    }


def of_record(record: Record) -> dict[str, Attribute]:
    """What the record says, without what it is."""
    found: dict[str, Attribute] = {}
    for field, own in _NAMES:
        value = getattr(record, field)
        if value not in ("", 0, (), False):
            found[own] = value
    for part in (operation(record), error(record), usage(record.tokens), parameters(record.params)):
        found.update(part)
    if record.reserved is not None:
        reserved = msgspec.structs.asdict(record.reserved)
        found.update((f"sluicegate.reserved.{name}", value) for name, value in reserved.items() if value is not None)
    return found


def _names() -> Iterator[tuple[str, str]]:
    for field in Record.__struct_fields__:
        if field not in _ELSEWHERE:
            yield field, _STANDARD.get(field, f"sluicegate.{field}")


_NAMES: Final = tuple(_names())


def operation(record: Record) -> Iterator[tuple[str, str]]:
    """What is done, and in which flavour."""
    name = "execute_tool" if record.tool else OPERATIONS.get(record.operation)
    if name is not None:
        yield "gen_ai.operation.name", name
        provider = PROVIDERS.get(record.dialect)
        if provider is not None:
            yield "gen_ai.provider.name", provider


def error(record: Record) -> Iterator[tuple[str, str]]:
    """`error.type`, of few values: the code of a refusal, else how it ended, else the status."""
    if record.result in _FAILED:
        ending = "" if record.ending == "answered" else record.ending
        status = str(record.status) if record.status >= 400 else ""
        yield "error.type", record.reason or ending or status or "_OTHER"


def usage(tokens: Tokens | None) -> Iterator[tuple[str, int]]:
    """The conventions count cached input, cache writes and audio inside `input_tokens`; a record has them beside it."""
    if tokens is not None:
        yield "gen_ai.usage.input_tokens", tokens.taken
        yield "gen_ai.usage.output_tokens", tokens.made
        yield "gen_ai.usage.cache_read.input_tokens", tokens.cached_input
        yield "gen_ai.usage.cache_creation.input_tokens", tokens.cache_write + tokens.cache_write_1h
        yield "gen_ai.usage.reasoning.output_tokens", tokens.reasoning
        yield "sluicegate.tokens.total", tokens.total
        yield "sluicegate.tokens.weighted", tokens.weighted


def parameters(params: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """What was asked for, where it is a number."""
    for name, (own, kind) in _PARAMETERS.items():
        value = params.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            number = _number(value, kind)
            if number is not None:
                yield own, number


def _number(value: str | int, kind: Callable[[str | int], int | float]) -> int | float | None:
    """Numbers that are not whole stand in a record as text."""
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and (isinstance(number, float) or number in _INT64) else None
