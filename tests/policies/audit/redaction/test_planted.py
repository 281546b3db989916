"""A value of every class, planted at random places in random texts and JSON values, is never left."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.audit.record import SCHEMA, Record
from policies.audit.redaction.redactor import CHOSEN
from tests.policies.audit.redaction.samples import OWN_PATTERN, PLANTED, redactor, without_hashes

REDACTOR = redactor(patterns=OWN_PATTERN)
EDGES = st.sampled_from([" ", "\n", ", ", "(", " <", ' "', "\t", "; ", " – ", "。", "\u200b "])
# Letters right beside a value, or words that end in digits before a space, are stated bounds of some classes.
NOISE = st.text(
    st.characters(exclude_categories=["Nd", "No", "Nl"], exclude_characters="[]-./+:@%\\=&?#_'\"~"), max_size=40
)
SLOW_TO_MAKE = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and what must not be left of it."""
    value, core = draw(st.sampled_from(PLANTED))
    return draw(NOISE) + draw(EDGES) + value + draw(EDGES) + draw(NOISE), core


@st.composite
def wrapped(draw: st.DrawFn) -> tuple[Any, str]:
    """A JSON value with a planted text somewhere: a member, a name, an item, or JSON in a string."""
    text, core = draw(planted())
    value: Any = text
    for _ in range(draw(st.integers(0, 4))):
        around = draw(st.sampled_from(["member", "name", "item", "string"]))
        if around == "member":
            value = {
                **draw(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=3)),
                draw(st.text(max_size=8)): value,
            }
        elif around == "name":
            value = {value if isinstance(value, str) else "x": draw(JSON_VALUES), "y": value}
        elif around == "item":
            value = [draw(JSON_VALUES), value, draw(JSON_VALUES)]
        elif len(json.dumps(value)) < 2000 and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=draw(st.booleans()))
    return value, core


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for member in value.values() for text in strings(member))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(("value", "core"), PLANTED)
def test_what_is_planted_is_found_alone(value: str, core: str) -> None:
    assert core not in REDACTOR.text(value)


@given(planted())
def test_nothing_planted_is_left_in_a_text(case: tuple[str, str]) -> None:
    text, core = case
    kept = REDACTOR.text(text)
    assert core not in kept
    assert REDACTOR.text(kept) == kept


@given(wrapped())
@SLOW_TO_MAKE
def test_nothing_planted_is_left_in_a_value(case: tuple[Any, str]) -> None:
    value, core = case
    kept = REDACTOR.tree(value)
    assert not [text for text in strings(kept) if core in text]
    orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


@given(wrapped(), st.sampled_from(CHOSEN))
@SLOW_TO_MAKE
def test_nothing_planted_is_left_in_a_record(case: tuple[Any, str], member: str) -> None:
    value, core = case
    text = value if isinstance(value, str) else json.dumps(value)
    chosen: dict[str, Any] = {member: text}
    record = Record(
        event="request.allowed", journal="a.0", kind="decision", level="info", previous="0" * 64, schema=SCHEMA,
        sequence=1, timestamp="2026-01-01T00:00:00.000000Z", params={"messages": value}, flags=(text,), **chosen,
    )  # fmt: skip
    kept = REDACTOR.record(record)
    assert kept.redacted
    assert core not in getattr(kept, member)
    assert not [text for text in [*strings(kept.params), *kept.flags] if core in text]


@given(st.text(), st.data())
def test_any_text_comes_back_as_one(text: str, data: st.DataObject) -> None:
    odd = data.draw(st.text(st.characters(categories=["Cs", "Cc", "Cf", "Nd", "Mn", "Ll"])))
    for value in (text, odd, text + odd):
        REDACTOR.text(value).encode()


@given(st.lists(st.tuples(st.sampled_from(PLANTED), EDGES), min_size=1, max_size=4))
def test_labels_stand_where_values_stood(parts: list[tuple[tuple[str, str], str]]) -> None:
    text = " - ".join(f"{edge}{value}" for (value, _), edge in parts)
    kept = without_hashes(REDACTOR.text(text))
    assert kept.count("[") >= 1
    assert not [core for (_, core), _ in parts if core in kept]
