"""The published schema of a record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from policies.audit.record import Record
from policies.audit.showing import record_schema as schema
from tests.policies.audit.showing.journaled import closed, closing, decision, record, refusal

PUBLISHED = Path(__file__).resolve().parents[4] / "docs/reference/audit-record.schema.json"


def test_what_is_published_is_what_is_written() -> None:
    assert PUBLISHED.read_text("utf-8") == schema.text(), (
        "sluicegate audit schema > docs/reference/audit-record.schema.json"
    )


def test_every_member_is_told() -> None:
    document = schema.document()
    names = {field.encode_name for field in msgspec.structs.fields(Record)}
    assert set(document["properties"]) == names | {"hash"}
    for names_of_one, _ in schema.attributes(Record.__doc__ or ""):
        for name in names_of_one:
            assert document["properties"][name]["description"]


@pytest.mark.parametrize("of", [decision(1), refusal(1), closing(1), record(event="journal.gap", lost=3)])
def test_records_fit(of: Record) -> None:
    line = json.loads(closed(of).line)
    document = schema.document()
    assert faults(line, document, document) == []
    assert faults({**line, "timestamp": "yesterday"}, document, document) == ["timestamp: pattern"]
    assert faults({**line, "sequence": "1"}, document, document) == ["sequence: type"]
    del line["hash"]
    assert faults(line, document, document) == ["hash: missing"]


TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}


def faults(value: Any, of: dict[str, Any], whole: dict[str, Any], name: str = "") -> list[str]:
    """What a value has wrong, by as much of JSON Schema as the document uses."""
    if "$ref" in of:
        return faults(value, whole["$defs"][of["$ref"].rpartition("/")[2]], whole, name)
    if "anyOf" in of:
        every = [faults(value, one, whole, name) for one in of["anyOf"]]
        return min(every, key=len)
    found = []
    if "type" in of and type(value) is not TYPES[of["type"]]:
        return [f"{name}: type"]
    if "pattern" in of and not re.search(of["pattern"], value):
        found.append(f"{name}: pattern")
    if "const" in of and value != of["const"]:
        found.append(f"{name}: const")
    if isinstance(value, list):
        found += [fault for one in value for fault in faults(one, of.get("items", {}), whole, name)]
    if isinstance(value, dict):
        properties = of.get("properties", {})
        found += [f"{one}: missing" for one in of.get("required", ()) if one not in value]
        found += [f"{one}: unknown" for one in value if properties and one not in properties]
        for one, inner in value.items():
            found += faults(inner, properties.get(one, {}), whole, one)
    return found
