"""Records as documents of the Elastic Common Schema 8.17: NDJSON, a document a line. Pure, but for `export`.

Names and the values of `event.kind`, `event.category`, `event.type` and `event.outcome` are those of ECS 8.17.0. It has
no `gen_ai.*` yet: those are of ECS 9.1, where they came in under OpenTelemetry's names. What neither has a name for
stands under `labels`, whose values are text, by the record's own name. Members without a value are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import orjson

from policies.audit.record import Closed, Kind, Level, Name, Record, Tokens
from policies.audit.sinks.otlp_attributes import OPERATIONS

VERSION: Final = "8.17.0"
CATEGORIES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Name.ALLOWED: (("api",), ("access", "allowed", "start")),
    Name.RESPONDED: (("api",), ("access", "allowed")),
    Name.REFUSED: (("api",), ("access", "denied")),
    Name.UNDECIDED: (("api",), ("access", "denied")),
    Name.ACCESS_REFUSED: (("api",), ("access", "denied")),
    Name.LIMIT_REACHED: (("api",), ("access", "denied")),
    Name.CLOSED: (("api",), ("access", "end")),
    Name.AUTHENTICATION_ACCEPTED: (("authentication",), ("start",)),
    Name.AUTHENTICATION_REFUSED: (("authentication",), ("start",)),
    Name.SESSION_BEGUN: (("session",), ("start",)),
    Name.SESSION_ENDED: (("session",), ("end",)),
    Name.LIMIT_CHANGED: (("configuration",), ("change",)),
    Name.CONFIGURATION_LOADED: (("configuration",), ("info",)),
    Name.HOLD_PLACED: (("configuration",), ("change",)),
    Name.HOLD_RELEASED: (("configuration",), ("change",)),
    Name.RETENTION_APPLIED: (("configuration",), ("deletion",)),
    Name.LEASE_EXPIRED: (("api",), ("info",)),
    Name.JOURNAL_OPENED: (("process",), ("start",)),
    Name.JOURNAL_CLOSED: (("process",), ("end",)),
    Name.JOURNAL_WITNESSED: (("process",), ("info",)),
    Name.JOURNAL_GAP: (("process",), ("info",)),
}
"""`event.category` and `event.type` by the event. Those of a newer schema have neither."""
SEVERITIES: Final[Mapping[str, int]] = {Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}
"""Those of syslog, as `event.severity` would have it where there is no other scale."""
_OUTCOMES: Final = {"success": "success", "refused": "failure", "failure": "failure", "aborted": "failure"}
_FIELDS: Final = frozenset(
    {
        *("bytes_in", "bytes_out", "event", "latency_us", "level", "method", "model", "path", "policy", "reason"),
        *("request_id", "response_model", "roles", "sequence", "status", "tenant", "tenant_id", "timestamp", "tokens"),
        *("tool", "trace_id", "user_id", "version", "why", "journal", "marks"),
    }
)
"""Members of a record that have a field of ECS. All others are labels."""
_LABEL: Final = 1_024
"""Characters of a label. Elasticsearch refuses a keyword of more than 32,766 bytes, and with it the document."""


def export(records: Iterable[Closed], out: BinaryIO) -> None:
    """Write their documents to `out`, which stays open."""
    for closed in records:
        out.write(orjson.dumps(document(closed), option=orjson.OPT_APPEND_NEWLINE))


def document(closed: Closed) -> dict[str, Any]:
    """One document, nested, as Elasticsearch would have it."""
    record = closed.record
    instance = record.journal.rpartition(".")[0] or record.journal
    organization = {"id": record.tenant_id or record.tenant, "name": record.tenant}
    whole = {
        "@timestamp": record.timestamp,
        "ecs": {"version": VERSION},
        "message": _message(record),
        "log": {"level": record.level},
        "tags": [mark[:_LABEL] for mark in record.marks],
        "event": _event(closed),
        "user": {"id": record.user_id[:_LABEL], "roles": [role[:_LABEL] for role in record.roles]},
        "related": {"user": [record.user_id[:_LABEL]] if record.user_id else []},
        "organization": organization,
        "http": {
            "request": {"id": record.request_id, "method": record.method, "body": {"bytes": record.bytes_in}},
            "response": {"status_code": record.status, "body": {"bytes": record.bytes_out}},
        },
        "url": {"path": record.path},
        "trace": {"id": record.trace_id},
        "gen_ai": _gen_ai(record),
        "observer": {
            "vendor": "Sluicegate",
            "product": "Sluicegate",
            "type": "proxy",
            "name": record.journal,
            "hostname": instance,
            "version": record.version,
        },
        "labels": dict(_labels(record)),
    }
    filled: dict[str, Any] = _filled(whole)
    return filled


def _event(closed: Closed) -> dict[str, Any]:
    record = closed.record
    category, types = CATEGORIES.get(record.event, ((), ()))
    return {
        "kind": "event",
        "category": list(category),
        "type": list(types),
        "action": record.event,
        "outcome": _outcome(record),
        "id": f"{record.journal}/{record.sequence}",
        "sequence": record.sequence,
        "hash": closed.hash,
        "module": "sluicegate",
        "dataset": "sluicegate.audit",
        "provider": record.policy,
        "code": record.reason,
        "reason": record.why,
        "severity": SEVERITIES.get(record.level, SEVERITIES[Level.ERROR]),
        "duration": record.latency_us * 1_000,
    }


def _outcome(record: Record) -> str:
    """A request that was let pass has no result yet: `unknown`, as ECS has it for the request side of an exchange."""
    known = _OUTCOMES.get(record.result, "")
    return known or ("unknown" if record.kind == Kind.DECISION and record.decision == "allow" else "")


def _message(record: Record) -> str:
    """A line for people."""
    about = (record.user_id, record.model, record.reason, str(record.status or ""))
    return " ".join((record.event, *(f"[{each[:_LABEL]}]" for each in about if each)))


def _gen_ai(record: Record) -> dict[str, Any]:
    operation = "execute_tool" if record.tool else OPERATIONS.get(record.operation, "")
    return {
        "operation": {"name": operation},
        "request": {"model": record.model},
        "response": {"model": record.response_model},
        "tool": {"name": record.tool},
        "usage": _usage(record.tokens) if record.tokens is not None else {},
    }


def _usage(tokens: Tokens) -> dict[str, int]:
    """All input, as OpenTelemetry counts it: a record has cached input and cache writes beside `input`."""
    return {"input_tokens": tokens.taken, "output_tokens": tokens.made}


def _labels(record: Record) -> Iterator[tuple[str, str]]:
    for field in record.__struct_fields__:
        value = getattr(record, field)
        if field not in _FIELDS and value not in ("", 0, (), {}, None, False):
            yield field, text(value)[:_LABEL]


def text(value: Any) -> str:
    """A label is text: JSON, but for what is text already."""
    return value if isinstance(value, str) else orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _filled(value: Any) -> Any:
    """Without members that have no value. Counts of tokens that are 0 stay: they were counted."""
    if not isinstance(value, dict):
        return value
    kept = {name: inner if name == "usage" else _filled(inner) for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if inner not in ("", 0, [], {}) or inner is False}
