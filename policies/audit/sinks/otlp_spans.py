"""Spans, and how they are packed into requests of bounded size (OTLP 1.x, protobuf). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from policies.audit.sinks.otlp_attributes import Attribute
from policies.audit.sinks.otlp_messages import (
    ExportTraceServiceRequest,
    InstrumentationScope,
    Message,
    Resource,
    ResourceSpans,
    ScopeSpans,
    SpanEvent,
    Status,
    pairs,
)
from policies.audit.sinks.otlp_messages import Span as SpanMessage

TRUNCATED: Final = "sluicegate.truncated"
"""The attribute that says which others were left out because the request would have been too long."""
_SAMPLED: Final = 1
_FRAME: Final = 16
"""Bytes of a tag and a length around a message, at most, with room for those above it that grow with it."""
_SHORT: Final = 256
"""Bytes of an attribute that is never left out."""
_NAMED: Final = 16


class SpanKind(IntEnum):
    """As the protocol numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class Outcome(IntEnum):
    """Of a span, as the protocol numbers them."""

    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a span. `time`: nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """`trace`, `span` and `parent` in hexadecimal digits; no parent is "". Times are nanoseconds since the epoch."""

    trace: str
    span: str
    name: str
    start: int
    end: int
    parent: str = ""
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    events: tuple[Happened, ...] = ()
    outcome: Outcome = Outcome.UNSET
    message: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Who made the spans."""

    name: str
    version: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackedSpans:
    """A request, and which items are in it: those from `first` until before `end`."""

    body: bytes
    first: int
    end: int


def packed(items: Sequence[Sequence[Span]], resource: Mapping[str, str], scope: Scope, most: int) -> list[PackedSpans]:
    """The items in requests of at most `most` bytes, in their order. The spans of an item stay together.

    Args:
        most: at least 16,384, and 8,192 more than `resource` and `scope` take. An item that is longer loses its longest
            attributes, and says so.
    """
    room = most - len(_request([], resource, scope)) - 4 * _FRAME
    requests: list[PackedSpans] = []
    first, size, held = 0, 0, list[Message]()
    for index, item in enumerate(items):
        made, own = _fitting(item, room)
        if held and size + own > room:
            requests.append(PackedSpans(_request(held, resource, scope), first, index))
            first, size, held = index, 0, []
        size += own
        held += made
    if first < len(items):
        requests.append(PackedSpans(_request(held, resource, scope), first, len(items)))
    return requests


def message(span: Span) -> Message:
    """As it is on the wire. Always sampled, whatever the client's flag said: nobody switches our traces off."""
    return SpanMessage(
        trace_id=bytes.fromhex(span.trace),
        span_id=bytes.fromhex(span.span),
        parent_span_id=bytes.fromhex(span.parent),
        name=span.name,
        kind=int(span.kind),
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=pairs(span.attributes),
        events=[
            SpanEvent(time_unix_nano=one.time, name=one.name, attributes=pairs(one.attributes)) for one in span.events
        ],
        status=Status(code=int(span.outcome), message=span.message) if span.outcome or span.message else None,
        flags=_SAMPLED,
    )


def _fitting(item: Sequence[Span], room: int) -> tuple[list[Message], int]:
    made = [message(span) for span in item]
    size = sum(one.ByteSize() + _FRAME for one in made)
    if size > room:
        each = room // len(item) - _FRAME
        made = [
            one if one.ByteSize() <= each else message(_shorter(span, each)) for span, one in zip(item, made, strict=True)
        ]
        size = sum(one.ByteSize() + _FRAME for one in made)
    return made, size


def _shorter(span: Span, most: int) -> Span:
    """Without its longest attributes, and if that is not enough without its events, in about `most` bytes."""
    sizes = {name: pairs({name: value})[0].ByteSize() + _FRAME for name, value in span.attributes.items()}
    over = message(span).ByteSize() + _NAMED * 64 - most
    gone: list[str] = []
    for name in sorted(sizes, key=lambda one: -sizes[one]):
        if over <= 0 or sizes[name] <= _SHORT:
            break
        over -= sizes[name]
        gone.append(name)
    kept = {name: value for name, value in span.attributes.items() if name not in gone}
    events = span.events if over <= 0 else ()
    return replace(span, attributes=kept | {TRUNCATED: [name[:60] for name in gone[:_NAMED]]}, events=events)


def _request(spans: Sequence[Message], resource: Mapping[str, str], scope: Scope) -> bytes:
    told = InstrumentationScope(name=scope.name, version=scope.version, attributes=pairs(scope.attributes))
    of_resource = ResourceSpans(
        resource=Resource(attributes=pairs({name: text for name, text in resource.items() if text})),
        scope_spans=[ScopeSpans(scope=told, spans=spans)],
    )
    made: bytes = ExportTraceServiceRequest(resource_spans=[of_resource]).SerializeToString()
    return made
