"""YAML is read strictly, and nothing in it ends in a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.strict_yaml import YamlError, lines, read

READ: dict[str, Any] = {
    "a: 1": {"a": 1},
    "": None,
    "[1, two, null, true]": [1, "two", None, True],
    "\ufeffa: 1": {"a": 1},
    "a: 2024-10-21": {"a": "2024-10-21"},
    "a: 2024-13-45": {"a": "2024-13-45"},
    "a: 2024-10-21T00:00:00Z": {"a": "2024-10-21T00:00:00Z"},
    "a: =": {"a": "="},
    '"yes": 1': {"yes": 1},
    "a: {b: 1}\nc: {b: 2}": {"a": {"b": 1}, "c": {"b": 2}},
    "a: 'x & *y !z'": {"a": "x & *y !z"},
    "a: |\n  x\n  y\n": {"a": "x\ny\n"},
    "- a: 1\n- a: 1": [{"a": 1}, {"a": 1}],
}

PLAIN: dict[str, int | float] = {
    "0": 0,
    "-0": 0,
    "7": 7,
    "+7": 7,
    "-7": -7,
    "100": 100,
    "0.075": 0.075,
    "1.": 1.0,
    ".5": 0.5,
    "1.0e-06": 1e-06,
    "2.5e+3": 2500.0,
}
TEXT = ("'010'", '"0x10"', "'1:30'", '"1_000"', "'.nan'", "010 ms", "09", "0o17", "1e3", "v010", "127.0.0.1:9000", "_1")

NO_DECIMAL = "expected a number as a plain decimal"
BOMB = "a: &a [x,x]\n" + "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]" for n in range(24))
REFUSED: list[tuple[str, str]] = [
    ("a: 1\na: 2", "line 2, column 1: the key 'a' stands twice"),
    ('a: 1\n"a": 2', "line 2, column 1: the key 'a' stands twice"),
    ('"\\x61": 1\na: 2', "the key 'a' stands twice"),
    ("x: {a: 1, a: 2}", "line 1, column 11: the key 'a' stands twice"),
    ("- - {b: 1, b: 1}", "the key 'b' stands twice"),
    ("a: &x 1", "anchors and aliases are not accepted"),
    ("a: &x [*x]", "anchors and aliases are not accepted"),
    ("a: *x", "anchors and aliases are not accepted"),
    (BOMB, "line 1, column 4: anchors and aliases are not accepted"),
    ("&x a: 1", "anchors and aliases are not accepted"),
    ("<<: {a: 1}", "merge keys are not accepted"),
    ("<<: [{a: 1}]", "merge keys are not accepted"),
    ("a: !!python/object:os.system {}", "tags are not accepted: 'tag:yaml.org,2002:python/object:os.system'"),
    ("a: !!python/object/apply:os.system [id]", "tags are not accepted"),
    ("a: !!python/name:os.system", "tags are not accepted"),
    ("a: !!binary aGk=", "tags are not accepted"),
    ("a: !!set {a, b}", "tags are not accepted"),
    ("a: !!int x", "tags are not accepted"),
    ("a: !!timestamp x", "tags are not accepted"),
    ("a: !!str 1", "tags are not accepted"),
    ("!!map {a: 1}", "tags are not accepted"),
    ("a: !env SECRET", "tags are not accepted: '!env'"),
    ("1: a", "expected text as a key"),
    ("yes: a", "expected text as a key"),
    ("on: a", "expected text as a key"),
    ("null: a", "expected text as a key"),
    ("~: a", "expected text as a key"),
    ("1.5: a", "expected text as a key"),
    ("{[1]: 2}", "expected text as a key"),
    ("? {a: 1}\n: 2", "expected text as a key"),
    ("? [a, b]\n: 2", "expected text as a key"),
    ("a: 0b_", NO_DECIMAL),
    ("a: 0x_", NO_DECIMAL),
    ("b: 1\na: 010", "line 2, column 4: expected a number as a plain decimal"),
    *(
        (f"a: [{number}]", "line 1, column 5: expected a number as a plain decimal")
        for sign in ("", "-", "+")
        for number in (f"{sign}{digits}" for digits in ("010", "00", "0x10", "0b11", "1_000", "1:30", "1:30:00"))
    ),
    ("a: 1_000.5", NO_DECIMAL),
    ("a: 010.5", NO_DECIMAL),
    ("a: 1:30.5", NO_DECIMAL),
    ("a: .inf", NO_DECIMAL),
    ("a: -.INF", NO_DECIMAL),
    ("a: .nan", NO_DECIMAL),
    ("010: a", NO_DECIMAL),
    ("a: " + "9" * 5000, "a number that cannot be read"),
    ("[" * 5000, "nested too deeply"),
    ("[" * 5000 + "]" * 5000, "nested too deeply"),
    ("- " * 3000 + "a", "nested too deeply"),
    ("a: 1\n--- \na: 2", "line 2, column 1: but found another document"),
    ("a: [1", "line 1, column 6: "),
    ("a: 'x", "line 1, column 6: "),
    ("a:\n\t- b", "line 2, column 1: "),
    ("a: b: c", "line 1, column 5: "),
    ("a: @x", "line 1, column 4: "),
    ("a: %x", "line 1, column 4: "),
    ("a: \0", "special characters are not allowed"),
    ("a: \x1b[2J", "special characters are not allowed"),
    ('a: "\\ud800"', "an escape that stands for no character"),
    ('"\\udfff": 1', "an escape that stands for no character"),
    ('a: "\\xzz"', "line 1, column 7: "),
    ("%YAML 9.0\n---\na: 1", "incompatible YAML document"),
]


@pytest.mark.parametrize("text", READ)
def test_read(text: str) -> None:
    assert read(text) == READ[text]


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_decimal_is_a_number(text: str) -> None:
    found = read(f"a: {text}")["a"]
    assert (type(found), found) == (type(PLAIN[text]), PLAIN[text])


@pytest.mark.parametrize("text", TEXT)
def test_what_is_in_quotes_or_no_number_is_text(text: str) -> None:
    assert read(f"a: {text}") == {"a": text.strip("'\"")}


def test_of_another_programs_file_any_number_is_read() -> None:
    assert read("a: 0440\nb: 0x10\nc: .inf", any_number=True) == {"a": 0o440, "b": 16, "c": float("inf")}
    with pytest.raises(YamlError, match="the key 'a' stands twice"):
        read("a: 0440\na: 1", any_number=True)
    with pytest.raises(YamlError, match="a number that cannot be read"):
        read("a: 0x_", any_number=True)


@given(st.text("0123456789_:.xbe+-", min_size=1, max_size=8))
def test_a_number_is_what_is_written(text: str) -> None:
    try:
        found = read(f"a: {text}")["a"]
    except (YamlError, TypeError):
        return
    if isinstance(found, int | float):
        assert float(text) == found
        assert "_" not in text


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=lambda value: repr(value[:40]))
def test_refused(text: str, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a: hunter2: x", "a: 'hunter2", "a: [hunter2", "a: !x hunter2", "a: &x hunter2", 'a: "hunter2\\z"']
)
def test_messages_quote_no_values(text: str) -> None:
    with pytest.raises(YamlError) as caught:
        read(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60) | st.text(st.sampled_from("ab:-[]{}&*!?|>'\"%@#\n 01_x.~<=,\\"), max_size=25))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except YamlError as error:
        assert str(error)  # noqa: PT017


def test_lines_by_path() -> None:
    text = "a: 1\nb:\n  - c: {d: 2}\n  -\n    e: 3\n"
    assert lines(text) == {"a": 1, "b": 2, "b[0]": 3, "b[0].c": 3, "b[0].c.d": 3, "b[1]": 5, "b[1].e": 5}


@pytest.mark.parametrize("text", ["", "[", "a: *b", "x", "[" * 5000])
def test_what_is_no_mapping_has_no_lines(text: str) -> None:
    assert lines(text) == {}
