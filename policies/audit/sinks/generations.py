"""An exchange as Langfuse has it: one observation, with its usage, its cost, and who it was for. Pure.

Usage is in buckets of which no token is in two: Langfuse adds up those with `input` and those with `output` in their
names. Prompts are in it only where the journal has them, and then as the journal has them: redacted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeAlias

from policies.audit.record import Record, Tokens
from policies.audit.sinks.exchanges import Exchange, merged
from policies.audit.sinks.nanoseconds import began
from policies.audit.sinks.span_ids import span_id, trace_id

Kind: TypeAlias = Literal["generation", "embedding", "agent", "tool", "span"]
Level: TypeAlias = Literal["DEFAULT", "WARNING", "ERROR"]

LONGEST: Final = 200
"""Characters of what Langfuse knows a trace by. It drops what is longer."""
_MESSAGE: Final = 1_000
_KINDS: Final[Mapping[str, Kind]] = {
    "chat": "generation",
    "responses": "generation",
    "messages": "generation",
    "completions": "generation",
    "embeddings": "embedding",
    "agent": "agent",
}
"""By the gateway's operation. What is none of these, as a list of models or a refused token, is a `span`."""
_LEVELS: Final[Mapping[str, Level]] = {"refused": "WARNING", "aborted": "WARNING", "failure": "ERROR"}
PROMPTS: Final = ("system", "instructions", "messages", "input", "prompt", "suffix", "tools")
"""Members of `params` that are prompts. All others are parameters of the model."""
_METADATA: Final = (
    *("exchange_id", "request_id", "tenant", "tenant_id", "cost_centre", "caller", "route", "backend", "response_model"),
    *("decision", "policy", "reason", "ending", "ended_by", "basis", "cache", "price", "recovered", "configuration"),
)
_BUCKETS: Final = (
    ("input", "input"),
    ("cached_input", "input_cached_tokens"),
    ("cache_write", "input_cache_creation"),
    ("cache_write_1h", "input_cache_creation_1h"),
    ("audio_input", "input_audio_tokens"),
    ("reasoning", "output_reasoning_tokens"),
    ("audio_output", "output_audio_tokens"),
)
"""Members of `tokens` by their bucket; `output` is what is left of it without its reasoning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One observation. Ids are hexadecimal digits, `start` and `end` nanoseconds since the epoch, cost US dollars."""

    kind: Kind
    trace: str
    span: str
    name: str
    start: int
    end: int
    first_token: datetime | None = None
    model: str | None = None
    parameters: Mapping[str, str | int | float | bool | list[str]] = field(default_factory=dict)
    input: Any = None
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str | int] = field(default_factory=dict)
    level: Level = "DEFAULT"
    message: str | None = None
    version: str | None = None


def generation(exchange: Exchange) -> Generation:
    """What Langfuse is told of it."""
    record = merged(exchange)
    start = began(record)
    first = start + record.first_byte_us * 1_000
    answered = record.first_byte_us and record.decision == "allow"
    return Generation(
        kind=_kind(record),
        trace=trace_id(record),
        span=span_id(record.exchange_id),
        name=(record.tool or record.operation or "request")[:LONGEST],
        start=start,
        end=start + max(record.latency_us, 0) * 1_000,
        first_token=_moment(first) if answered else None,
        model=record.model or None,
        parameters=dict(_parameters(record.params)),
        input=_input(record.params),
        usage=usage(record.tokens),
        cost=cost(record.cost),
        user=(record.user_id or record.app_id)[:LONGEST] or None,
        session=record.session_id[:LONGEST] or None,
        tags=tuple(_tags(record)),
        metadata=dict(_metadata(record)),
        level=_LEVELS.get(record.result, "DEFAULT"),
        message=_message(record)[:_MESSAGE] or None,
        version=record.version[:LONGEST] or None,
    )


def _kind(record: Record) -> Kind:
    """Of all kinds only two have usage and cost: what has any is one of those, whatever was called."""
    kind: Kind = "tool" if record.tool else _KINDS.get(record.operation, "span")
    spent = record.cost or (record.tokens is not None and record.tokens.total)
    return "generation" if spent and kind != "embedding" else kind


def usage(tokens: Tokens | None) -> dict[str, int]:
    """Buckets of which no token is in two, and `total`. Nothing where nothing was used."""
    if tokens is None or not tokens.total:
        return {}
    found = {bucket: int(getattr(tokens, name)) for name, bucket in _BUCKETS}
    found["output"] = max(0, tokens.output - tokens.reasoning)
    return {bucket: count for bucket, count in found.items() if count} | {"total": tokens.total}


def cost(text: str) -> dict[str, float]:
    """As a number, which is all that Langfuse takes: the one place where money is. Nothing where no price is known."""
    try:
        dollars = Decimal(text) if text else None
    except InvalidOperation:
        return {}
    return {"total": float(dollars)} if dollars is not None and dollars.is_finite() else {}


def _parameters(params: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float | bool | list[str]]]:
    """What Langfuse takes for a parameter: a scalar, or a list of text. Else its words are left out."""
    for name, value in params.items():
        if name in PROMPTS:
            continue
        if isinstance(value, bool | int | float):
            yield name, value
        elif isinstance(value, str):
            yield name, _number(value)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            yield name, value


def _number(text: str) -> str | float:
    """Numbers that are not whole stand in a record as text."""
    if len(text) > 40 or not text.lstrip("-")[:1].isdigit():
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _input(params: Mapping[str, Any]) -> Any:
    """The prompts: of a conversation without anything beside it, its messages."""
    found = {name: params[name] for name in PROMPTS if name in params}
    if not found:
        return None
    return found["messages"] if found.keys() == {"messages"} else found


def _tags(record: Record) -> Iterator[str]:
    for name, value in (("department", record.department), ("app", record.app_id), ("upstream", record.upstream)):
        if value:
            yield f"{name}:{value}"[:LONGEST]
    for mark in record.marks:
        if mark:
            yield mark[:LONGEST]


def _metadata(record: Record) -> Iterator[tuple[str, str | int]]:
    for name in _METADATA:
        value = getattr(record, name)
        if isinstance(value, str) and value:
            yield name, value[:_MESSAGE]
    if record.status:
        yield "status", record.status
    if record.tokens is not None and record.tokens.tool_calls:
        yield "tool_calls", record.tokens.tool_calls


def _message(record: Record) -> str:
    """Why it is not well, for people."""
    if record.result not in _LEVELS:
        return ""
    ending = "" if record.ending in ("answered", "rejected") else record.ending
    status = f"status {record.status}" if record.status else ""
    said = (record.policy, record.reason, record.why) if record.reason else (ending, status)
    return ": ".join(filter(None, said))


def _moment(nanos: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanos // 1_000)
