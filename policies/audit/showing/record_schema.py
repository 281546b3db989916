"""The JSON Schema of a line of the journal, made from the struct that writes it. Pure."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from policies.audit.record import SCHEMA, Kind, Level, Name, Record

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HASH: Final = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "SHA-256 of the line without this member, in hexadecimal digits.",
}
_NAMED: Final = {"event": Name, "kind": Kind, "level": Level}


def document() -> dict[str, Any]:
    """The schema (draft 2020-12) of one line: the record, and the hash that closes it.

    Members that it does not know are allowed: records may gain some without a new version of the schema.
    """
    schema = msgspec.json.schema(Record)
    definitions: dict[str, Any] = schema["$defs"]
    record = definitions.pop("Record")
    properties: dict[str, Any] = {name: dict(value) for name, value in record["properties"].items()}
    for name, values in _NAMED.items():
        # Known values are told and not enforced: a later version may have more, and its records are no worse for it.
        properties[name] = {**properties[name], "examples": [value.value for value in values]}
    properties["schema"] = {"type": "integer", "const": SCHEMA}
    properties["sequence"] = {**properties["sequence"], "minimum": 0}
    properties["hash"] = _HASH
    for names, told in attributes(inspect.getdoc(Record) or ""):
        for name in names:
            properties[name] = {**properties[name], "description": told}
    for inner in definitions.values():
        inner.pop("title", None)
        inner["description"] = " ".join(str(inner["description"]).split())
    return {
        "$schema": _DIALECT,
        "title": "A record of Sluicegate's journal",
        "description": _sentence(Record),
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "required": sorted([*record["required"], "hash"]),
        "$defs": definitions,
    }


def text() -> str:
    """The schema as it is published."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def attributes(docstring: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The entries under `Attributes:`, each with the names it is about, in one line."""
    listed = docstring.partition("Attributes:\n")[2]
    for entry in re.split(r"\n(?= {4}\S)", listed):
        names, _, told = entry.strip().partition(": ")
        if told:
            yield tuple(name.strip() for name in names.split(",")), " ".join(told.split())


def _sentence(struct: type) -> str:
    return " ".join((inspect.getdoc(struct) or "").partition("\n\n")[0].split())
