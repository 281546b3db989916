"""Records as log records of OpenTelemetry (OTLP 1.x, protobuf), packed into requests of bounded size. Pure.

The body is the record itself, as JSON; attributes are what a collector routes and searches by; the event's name is
`sluicegate.` and the record's. Records of one writer and version share a resource: `service.name` is `sluicegate`,
`service.instance.id` the journal. A record has no span, so a log record has the trace alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.audit.record import SCHEMA, Closed, Level
from policies.audit.sinks.nanoseconds import nanoseconds
from policies.audit.sinks.otlp_attributes import Attribute, attributes
from policies.audit.sinks.otlp_messages import (
    ERROR,
    INFO,
    WARN,
    AnyValue,
    ExportLogsServiceRequest,
    InstrumentationScope,
    KeyValue,
    LogRecord,
    Message,
    Resource,
    ResourceLogs,
    ScopeLogs,
    pairs,
)
from policies.audit.sinks.otlp_messages import value as of_attribute
from policies.audit.sinks.shorten import shortened

_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SEVERITIES: Final[Mapping[str, int]] = {Level.INFO: INFO, Level.WARNING: WARN, Level.ERROR: ERROR}
_FRAME: Final = 16
"""Bytes of a tag and a length around a message, at most, with room for those above it that grow with it."""
_ATTRIBUTE: Final = 1_024
"""Bytes of the longest attribute of a record that is too long for a request."""
_HEAD: Final = 2_048
"""Bytes of a log record beside its body and attributes, at most."""
_LONGEST: Final = 255
"""Characters of what names a writer or an event. A journal is a folder, whose name is no longer."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A request, and which records of the batch are in it: those from `first` until before `end`."""

    body: bytes
    first: int
    end: int


def packed(batch: Sequence[Closed], resource: Mapping[str, str], observed: float, most: int) -> list[Packed]:
    """The batch in requests of at most `most` bytes, in its order. A record that is longer is shortened.

    Args:
        resource: attributes of the resource besides `service.*`.
        observed: the time, in seconds since the epoch.
        most: at least 16,384, and 8,192 more than `resource` takes.
    """
    now = round(observed * 1e9)
    requests: list[Packed] = []
    around: dict[tuple[str, str], int] = {}
    first, size, records, writers = 0, 0, list[Message](), set[tuple[str, str]]()
    for index, closed in enumerate(batch):
        writer = _writer(closed)
        if writer not in around:
            around[writer] = _of_writer(writer, (), resource).ByteSize() + 4 * _FRAME
        record = log_record(closed, now)
        if record.ByteSize() + _FRAME + around[writer] > most:
            record = _smaller(closed, now, most - _FRAME - around[writer])
        own = record.ByteSize() + _FRAME
        if records and size + own + (0 if writer in writers else around[writer]) > most:
            requests.append(Packed(_request(batch[first:index], records, resource), first, index))
            first, size, records, writers = index, 0, [], set()
        size += own + (0 if writer in writers else around[writer])
        records.append(record)
        writers.add(writer)
    if records:
        requests.append(Packed(_request(batch[first:], records, resource), first, len(batch)))
    return requests


def log_record(closed: Closed, observed: int) -> Message:
    """One record. `observed`: nanoseconds since the epoch."""
    return _made(closed, observed, closed.line.decode("utf-8", "replace"), attributes(closed))


def _made(closed: Closed, observed: int, body: str, named: Mapping[str, Attribute]) -> Message:
    record = closed.record
    trace = _TRACE.fullmatch(record.trace_id) and record.trace_id.strip("0")
    return LogRecord(
        time_unix_nano=nanoseconds(record.timestamp),
        observed_time_unix_nano=observed,
        severity_number=_SEVERITIES.get(record.level, ERROR),
        severity_text=record.level,
        body=AnyValue(string_value=body),
        attributes=pairs(named),
        trace_id=bytes.fromhex(record.trace_id) if trace else b"",
        event_name=f"sluicegate.{record.event[:_LONGEST]}",
    )


def _smaller(closed: Closed, observed: int, most: int) -> Message:
    """A record that says in its body what the body lacks. Long attributes are left out: the body may have them."""
    left = most // 2
    named: dict[str, Attribute] = {}
    for name, value in attributes(closed).items():
        size = KeyValue(key=name, value=of_attribute(value)).ByteSize() + _FRAME
        if size <= min(left, _ATTRIBUTE):
            named[name] = value
            left -= size
    body, _ = shortened(closed.line, most - (most // 2 - left) - _HEAD)
    return _made(closed, observed, body.decode("utf-8", "replace"), named)


def _request(batch: Sequence[Closed], records: Sequence[Message], resource: Mapping[str, str]) -> bytes:
    of_writer: dict[tuple[str, str], list[Message]] = {}
    for closed, record in zip(batch, records, strict=True):
        of_writer.setdefault(_writer(closed), []).append(record)
    logs = [_of_writer(writer, own, resource) for writer, own in of_writer.items()]
    made: bytes = ExportLogsServiceRequest(resource_logs=logs).SerializeToString()
    return made


def _writer(closed: Closed) -> tuple[str, str]:
    return closed.record.journal[:_LONGEST], closed.record.version[:_LONGEST]


def _of_writer(writer: tuple[str, str], records: Sequence[Message], resource: Mapping[str, str]) -> Message:
    journal, version = writer
    named = {"service.name": "sluicegate", "service.version": version, "service.instance.id": journal, **resource}
    return ResourceLogs(
        resource=Resource(
            attributes=[KeyValue(key=name, value=AnyValue(string_value=text)) for name, text in named.items() if text]
        ),
        scope_logs=[
            ScopeLogs(scope=InstrumentationScope(name="sluicegate.audit", version=str(SCHEMA)), log_records=records)
        ],
    )
