"""The page on the configuration has every key of it, with its default, and no other; and its examples are right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from extproc.assembly import configuration_schema
from extproc.contracts import ContractEntry
from extproc.price_settings import BracketEntry, PriceEntry, Rates, TierEntry
from extproc.secret import Secret
from extproc.settings import Settings, parse

PAGE = (Path(__file__).resolve().parent.parent / "docs/reference/configuration.md").read_text("utf-8")
HEADING = re.compile(r"^## (?:`([a-z_]+)`|[^`\n]*$)", re.MULTILINE)
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)
OWN = {Secret, PriceEntry, Rates}
"""Sections that stand in several places and have a table to themselves."""
PRICED = {BracketEntry, TierEntry, ContractEntry}
"""Sections that have the keys of a price as well."""
LEAST: Mapping[str, Any] = {"policies": [{"policy": "access"}]}


def sections_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, however they are wrapped: `Tls | None`, `tuple[Entry, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_of(inner)


def keys_of(section: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted path of every key that has a value of its own."""
    for field, info in section.model_fields.items():
        if section in PRICED and field in PriceEntry.model_fields:
            continue
        name = info.alias or field
        inner = [*sections_of(info.annotation)]
        if not inner or set(inner) <= OWN or (path and name == "models"):
            yield path + name, info
        for one in inner:
            if one not in OWN:
                yield from keys_of(one, f"{path}{name}.")


def rows() -> Iterator[tuple[str, str]]:
    """Dotted path and default of every row of the page's tables that have these two."""
    for heading, after in zip(found := [*HEADING.finditer(PAGE)], [*found[1:], None], strict=True):
        prefix = f"{heading[1]}." if heading[1] else ""
        for row in ROW.finditer(PAGE, heading.end(), after.start() if after else len(PAGE)):
            yield prefix + row[1], row[2].strip()


KEYS = dict([*keys_of(Settings), *keys_of(Secret, "credential."), *keys_of(PriceEntry, "price.")])
ROWS = dict(rows())
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_every_key_has_its_row_and_no_row_is_of_a_key_that_is_not() -> None:
    assert len(KEYS) > 40
    assert set(ROWS) == set(KEYS)
    assert len([*rows()]) == len(ROWS)


def test_the_schema_has_no_key_that_the_page_lacks() -> None:
    schema = configuration_schema()
    # Settings of policies are named policy.Section there, and have pages of their own.
    own = [schema, *(value for name, value in schema["$defs"].items() if "." not in name)]
    named = {part for path in ROWS for part in path.split(".")}
    assert {key for section in own for key in section.get("properties", {})} - named == set()


@pytest.mark.parametrize("path", KEYS)
def test_the_default_is_the_one_that_is_stated(path: str) -> None:
    info, stated = KEYS[path], ROWS[path]
    if info.is_required():
        assert stated == "required"
        return
    default = info.get_default(call_default_factory=True)
    if default is None:
        assert stated == "none"
        return
    assert yaml.safe_load(stated.strip("`")) == TypeAdapter(Any).dump_python(default, mode="json")


@pytest.mark.parametrize("example", EXAMPLES, ids="-".join)
def test_every_example_is_right(example: dict[str, Any]) -> None:
    assert parse({**LEAST, **example}).policies


def test_every_section_has_an_example() -> None:
    shown = {key for example in EXAMPLES for key in example}
    assert shown == set(Settings.model_fields)
