"""Whatever a value is, it has a text, and nothing in it is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits.tokens.compact import compact


def json_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=30,
    )


EXACT = st.none() | st.booleans() | st.integers() | st.text()
JSON = json_of(EXACT | st.floats(allow_nan=False, allow_infinity=False))


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, held in value.items() for text in (key, *strings(held))]
    return [text for one in value for text in strings(one)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        ([1, 2.5], "[1,2.5]"),
        ({"a": {"b": ["é", "的"]}}, '{"a":{"b":["é","的"]}}'),
        ('say "hi"\n', '"say \\"hi\\"\\n"'),
    ],
)
def test_json_is_compact_and_readable(value: object, expected: str) -> None:
    assert compact(value) == expected


@given(json_of(EXACT))
def test_it_is_not_shorter_than_the_json(value: object) -> None:
    assert len(compact(value)) >= len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


@given(json_of(EXACT | st.just(10**30)))
def test_no_text_is_left_out_of_it(value: object) -> None:
    text = compact(value)
    assert all(json.dumps(one, ensure_ascii=False)[1:-1].casefold() in text.casefold() for one in strings(value))


def deep(levels: int) -> object:
    value: object = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def itself() -> list[object]:
    value: list[object] = ["again"]
    value.insert(0, value)
    return value


@pytest.mark.parametrize(
    ("value", "least", "held"),
    [
        (deep(100_000), 300_000, "bottom"),
        (itself(), 1_000_000, "again"),
        ({"n": 10**299}, 299, "1000"),
        ({"n": 10**50_000}, 49_000, "9999"),
        ("half \ud800 a pair", 13, "half"),
        ({"set": {1, 2}, "text": "kept"}, 10, "kept"),
        ({1: "number", None: "none", (2, 3): "tuple"}, 10, "tuple"),
        ([float("nan"), float("inf"), b"bytes", object(), "kept"], 10, "kept"),
    ],
)
def test_what_has_no_json_has_a_text_all_the_same(value: object, least: int, held: str) -> None:
    text = compact(value)
    assert len(text) >= least
    assert held in text
