"""Records in ArcSight's Common Event Format, `CEF:0`: a line each, in UTF-8. Pure, but for `export`.

Keys, their meaning and their lengths are those of "Implementing ArcSight Common Event Format", version 0.1 of the
specification. What the dictionary has no key for stands in its custom ones, each with its label. The id of a record is
`deviceExternalId` (the journal) and `externalId` (the sequence).
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Iterator, Mapping
from time import strptime
from typing import BinaryIO, Final

from policies.audit.record import Closed, Level, Record

SEVERITIES: Final[Mapping[str, int]] = {Level.INFO: 3, Level.WARNING: 6, Level.ERROR: 8}
"""Low, medium, high."""
LENGTHS: Final[Mapping[str, int]] = {
    "act": 63, "outcome": 63, "dvchost": 100, "deviceExternalId": 255, "externalId": 40,
    **{f"cs{number}": 4_000 for number in range(1, 7)},
}  # fmt: skip
"""Characters that a value may have; of all other keys 1,023."""
_LONGEST: Final = 1_023
_HEADER: Final = 512
_BREAKS: Final = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_HARMFUL: Final = re.compile(r"[\x00-\x09\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def export(records: Iterable[Closed], out: BinaryIO) -> None:
    """Write them to `out`, which stays open."""
    for closed in records:
        out.write(line(closed).encode() + b"\n")


def line(closed: Closed) -> str:
    """One event, without its newline."""
    record = closed.record
    head = ("Sluicegate", "Sluicegate", record.version, record.event, record.event.replace(".", " "))
    severity = SEVERITIES.get(record.level, SEVERITIES[Level.ERROR])
    extension = " ".join(f"{key}={in_extension(value, LENGTHS.get(key, _LONGEST))}" for key, value in _pairs(closed))
    return f"CEF:0|{'|'.join(in_header(part) for part in head)}|{severity}|{extension}"


def in_header(value: str) -> str:
    """A field of the header: backslashes and pipes are escaped; it cannot have lines."""
    value = _HARMFUL.sub(" ", _BREAKS.sub(" ", value[:_HEADER]))
    return value.replace("\\", "\\\\").replace("|", "\\|")


def in_extension(value: str, most: int = _LONGEST) -> str:
    """A value, cut to `most` characters: backslashes and equal signs are escaped, and the end of a line is `\\n`."""
    value = value[:most].strip(" ").replace("\\", "\\\\").replace("=", "\\=")
    return _HARMFUL.sub(" ", _BREAKS.sub(r"\\n", value))


def _pairs(closed: Closed) -> Iterator[tuple[str, str]]:
    for key, value in _of(closed).items():
        if value:
            yield key, value
    for key, label, value in _custom(closed):
        if value:
            yield key, value
            yield f"{key}Label", label


def _of(closed: Closed) -> dict[str, str]:
    record = closed.record
    return {
        "rt": str(_milliseconds(record.timestamp)),
        "cat": record.kind,
        "act": record.decision,
        "outcome": record.result,
        "reason": record.reason,
        "msg": record.why,
        "deviceExternalId": record.journal,
        "externalId": str(record.sequence),
        "dvchost": record.journal.rpartition(".")[0] or record.journal,
        "suid": record.user_id,
        "spriv": ",".join(record.roles),
        "sourceServiceName": record.app_id,
        "destinationServiceName": record.upstream,
        "request": record.path,
        "requestMethod": record.method,
        "in": str(record.bytes_in or ""),
        "out": str(record.bytes_out or ""),
    }


def _custom(closed: Closed) -> Iterator[tuple[str, str, str]]:
    """Keys without a meaning of their own: key, label and value."""
    record = closed.record
    yield "cs1", "tenant", record.tenant
    yield "cs2", "model", record.model
    yield "cs3", "session", record.session_id
    yield "cs4", "policy", record.policy
    yield "cs5", "costUSD", record.cost
    yield "cs6", "hash", closed.hash
    yield "cn1", "inputTokens", _input(record)
    yield "cn2", "outputTokens", str(record.tokens.made) if record.tokens is not None else ""
    yield "cn3", "httpStatus", str(record.status or "")
    yield "flexString1", "exchange", record.exchange_id
    yield "flexString2", "requestId", record.request_id


def _input(record: Record) -> str:
    """All of it: a record has cached input and cache writes beside `input`."""
    tokens = record.tokens
    return str(tokens.taken) if tokens is not None else ""


def _milliseconds(timestamp: str) -> int:
    """Since the epoch, of `2026-11-21T13:38:23.000001Z`."""
    return timegm(strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000 + int(timestamp[20:23])
