"""A record as a syslog message (RFC 5424), and as a frame on a stream (RFC 6587). Pure.

    <PRI>1 TIMESTAMP HOSTNAME sluicegate - EVENT [sluicegate@32473 journal="…" sequence="…" …] BOM{the record as JSON}

TIMESTAMP is the record's own, with microseconds. HOSTNAME is the instance that wrote the record. The structured data say
which record it is and what a collector would route or search by; all else is in MSG. 32473 is the number that IANA keeps
for examples (RFC 5612). What cannot stand on a terminal or could end a line stands in MSG as an escape of JSON, and in
structured data as U+FFFD. Where that or `max_bytes` has changed MSG, it is no longer the line of the journal to the byte;
where `truncated` says nothing, it still means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from policies.audit.record import Closed, Level, Record
from policies.audit.sinks.shorten import plain, shortened

SD_ID: Final = "sluicegate@32473"
SEVERITIES: Final[Mapping[str, int]] = {Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}
"""Informational, warning, error: RFC 5424, section 6.2.1."""
BOM: Final = b"\xef\xbb\xbf"
# Controls, whatever ends a line for some reader, what turns the direction of writing, and surrogates.
_HARMFUL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")
_TO_ESCAPE: Final = re.compile(r'(["\\\]])')
_LONGEST: Final = 96
"""Characters of a value in structured data. The whole value stands in MSG."""
_MARK_BYTES: Final = len(' truncated=""') + 4 * _LONGEST


def message(closed: Closed, *, facility: int, hostname: str | None, max_bytes: int) -> bytes:
    """The message, at most `max_bytes` long, which are at least 2,048. Never holds a newline.

    `hostname`: None for the instance in the name of the journal.
    """
    record = closed.record
    priority = facility * 8 + SEVERITIES.get(record.level, SEVERITIES[Level.ERROR])
    host = hostname or record.journal.rpartition(".")[0] or record.journal
    head = f"<{priority}>1 {record.timestamp} {_name(host, 255)} sluicegate - {_name(record.event, 32)} "
    parameters = dict(_parameters(record))
    start = _start(head, parameters)
    if len(start) > max_bytes // 2:
        parameters = {name: parameters[name] for name in ("journal", "sequence")}
        start = _start(head, parameters)
    text = _escaped(closed.line)
    if len(start) + len(text) <= max_bytes:
        return start + text
    # The mark is known only when it is cut, and then must have room.
    text, gone = shortened(closed.line, max_bytes - len(start) - _MARK_BYTES, _escaped_object)
    return _start(head, parameters | {"truncated": _harmless(" ".join(gone))}) + text


def framed(content: bytes, framing: Literal["octets", "lines"]) -> bytes:
    """The message as it stands on a stream: RFC 6587, section 3.4.1 or 3.4.2."""
    return b"%d %b" % (len(content), content) if framing == "octets" else content + b"\n"


def _start(head: str, parameters: Mapping[str, str]) -> bytes:
    data = " ".join(f'{name}="{_escape(value)}"' for name, value in parameters.items())
    return f"{head}[{SD_ID} {data}] ".encode() + BOM


def _escape(value: str) -> str:
    return _TO_ESCAPE.sub(r"\\\1", value)


def _harmless(value: str) -> str:
    return _HARMFUL.sub("\ufffd", value[:_LONGEST])


def _parameters(record: Record) -> Iterator[tuple[str, str]]:
    """What stands in the structured data, by name."""
    said = {
        "journal": record.journal,
        "sequence": str(record.sequence),
        "kind": record.kind,
        "exchange_id": record.exchange_id,
        "request_id": record.request_id,
        "tenant": record.tenant,
        "user_id": record.user_id,
        "model": record.model,
        "decision": record.decision,
        "policy": record.policy,
        "reason": record.reason,
        "result": record.result,
        "status": str(record.status or ""),
    }
    for name, value in said.items():
        if value:
            yield name, _harmless(value)


def _name(value: str, most: int) -> str:
    """A field of the header: printable ASCII without spaces. The nil value where nothing is left."""
    return _NOT_PRINTABLE.sub("?", value[:most]) or "-"


def _escaped(text: bytes) -> bytes:
    """JSON that means the same, without a character that is harmful where it is printed."""
    readable = text.decode("utf-8", "replace")
    if not _HARMFUL.search(readable):
        return text
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", readable).encode()


def _escaped_object(value: Mapping[str, Any]) -> bytes:
    return _escaped(plain(value))
