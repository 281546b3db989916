"""Documents of the Elastic Common Schema, against its own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final

import orjson
import pytest
from hypothesis import given

from policies.audit.export.ecs import CATEGORIES, document, export
from policies.audit.record import Closed, Kind, Name, Tokens
from tests.policies.audit.sinks.made import MOMENT, full, made, records

KEYWORDS: Final = frozenset(
    {
        *("ecs.version", "log.level", "event.kind", "event.action", "event.outcome", "event.id", "event.hash"),
        *("event.module", "event.dataset", "event.provider", "event.code", "event.reason", "user.id", "organization.id"),
        *("organization.name", "http.request.id", "http.request.method", "trace.id", "observer.vendor"),
        *("observer.product", "observer.type", "observer.name", "observer.hostname", "observer.version"),
        # Of other types, that take text: date, match_only_text, wildcard.
        *("@timestamp", "message", "url.path"),
    }
)
LISTS: Final = frozenset({"event.category", "event.type", "tags", "user.roles", "related.user"})
LONGS: Final = frozenset(
    {
        *("event.sequence", "event.severity", "event.duration", "http.request.body.bytes", "http.response.status_code"),
        "http.response.body.bytes",
    }
)
"""From `generated/csv/fields.csv` of elastic/ecs, v8.17.0: what is used here of it, by type."""
GEN_AI: Final[Mapping[str, type]] = {
    "gen_ai.operation.name": str,
    "gen_ai.request.model": str,
    "gen_ai.response.model": str,
    "gen_ai.tool.name": str,
    "gen_ai.usage.input_tokens": int,
    "gen_ai.usage.output_tokens": int,
}
"""From the same file of v9.1.0."""
EXPECTED_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "api": frozenset(
        {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"}
    ),
    "authentication": frozenset({"start", "end", "info"}),
    "configuration": frozenset({"access", "change", "creation", "deletion", "info"}),
    "process": frozenset({"access", "change", "end", "info", "start"}),
    "session": frozenset({"start", "end", "info"}),
}
"""`expected_event_types` of `schemas/event.yml`, v8.17.0."""


def flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from flat(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", inner


def check(found: Mapping[str, Any]) -> None:
    for name, value in flat(found):
        if name in LISTS:
            assert isinstance(value, list), name
            assert all(isinstance(each, str) for each in value), name
        elif name in LONGS:
            assert isinstance(value, int), name
        elif name in GEN_AI:
            assert isinstance(value, GEN_AI[name]), name
        else:
            assert name in KEYWORDS or name.startswith("labels."), name
            assert isinstance(value, str), name


def test_a_small_document() -> None:
    closed = made(7)
    assert document(closed) == {
        "@timestamp": MOMENT,
        "ecs": {"version": "8.17.0"},
        "message": "request.closed",
        "log": {"level": "info"},
        "event": {
            "kind": "event",
            "category": ["api"],
            "type": ["access", "end"],
            "action": "request.closed",
            "id": "gateway-1.0/7",
            "sequence": 7,
            "hash": closed.hash,
            "module": "sluicegate",
            "dataset": "sluicegate.audit",
            "severity": 6,
        },
        "observer": {
            "vendor": "Sluicegate",
            "product": "Sluicegate",
            "type": "proxy",
            "name": "gateway-1.0",
            "hostname": "gateway-1",
        },
        "labels": {"kind": "closing", "previous": "0" * 64, "schema": "1"},
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.id", "<user_id>"),
        ("user.roles", ["Admin", "User"]),
        ("related.user", ["<user_id>"]),
        ("organization.id", "<tenant_id>"),
        ("organization.name", "<tenant>"),
        ("http.request.id", "<request_id>"),
        ("http.request.method", "<method>"),
        ("http.request.body.bytes", 1),
        ("http.response.body.bytes", 2),
        ("http.response.status_code", 429),
        ("url.path", "<path>"),
        ("trace.id", "0af7651916cd43dd8448eb211c80319c"),
        ("event.outcome", "failure"),
        ("event.code", "<reason>"),
        ("event.reason", "<why>"),
        ("event.provider", "<policy>"),
        ("event.duration", 5_000),
        ("tags", ["slow"]),
        ("message", "request.closed [<user_id>] [<model>] [<reason>] [429]"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.request.model", "<model>"),
        ("gen_ai.response.model", "<response_model>"),
        ("gen_ai.tool.name", "<tool>"),
        ("gen_ai.usage.input_tokens", 6),
        ("gen_ai.usage.output_tokens", 4),
        ("observer.version", "<version>"),
        ("labels.cost", "0.001234"),
        ("labels.redacted", "true"),
        ("labels.flags", '["URX"]'),
        ("labels.params", '{"max_tokens":7,"temperature":"0.5"}'),
        ("labels.session_id", "<session_id>"),
    ],
)
def test_a_full_document(name: str, value: object) -> None:
    assert dict(flat(document(full())))[name] == value


def test_no_member_is_forgotten() -> None:
    found = orjson.dumps(document(full())).decode()
    fields = {name for name, kind in full().record.__annotations__.items() if kind == "str"}
    missing = {name for name in fields if str(getattr(full().record, name)) not in found}
    assert missing == set()


@pytest.mark.parametrize("event", Name)
def test_categories_are_those_that_there_are(event: Name) -> None:
    categories, types = CATEGORIES[event]
    for category in categories:
        assert set(types) <= EXPECTED_TYPES[category]
    assert types


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"result": "success"}, "success"),
        ({"result": "refused"}, "failure"),
        ({"result": "aborted"}, "failure"),
        ({"kind": Kind.DECISION, "decision": "allow"}, "unknown"),
        ({"kind": Kind.DECISION, "decision": "reject", "result": "refused"}, "failure"),
        ({"kind": Kind.EVENT}, None),
    ],
)
def test_outcomes(fields: dict[str, Any], outcome: str | None) -> None:
    assert document(made(**fields))["event"].get("outcome") == outcome


def test_tokens_that_are_none_were_counted() -> None:
    assert document(made(tokens=Tokens(weighted=1)))["gen_ai"]["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_long_labels_are_cut() -> None:
    assert len(document(made(details="x" * 50_000))["labels"]["details"]) == 1_024


def test_export_writes_a_line_for_each() -> None:
    out = BytesIO()
    export(iter([made(1), full(2)]), out)
    assert [orjson.loads(line) for line in out.getvalue().splitlines()] == [document(made(1)), document(full(2))]


@given(records)
def test_whatever_it_is_names_and_types_are_those_of_the_schema(closed: Closed) -> None:
    found = document(closed)
    check(found)
    assert orjson.loads(orjson.dumps(found)) == found
    for name, value in flat(found):
        assert len(str(value).encode()) <= 32_766 or name in ("message", "url.path"), name
