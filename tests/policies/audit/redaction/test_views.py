from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.redaction.views import MOST_LAYERS, sound, views


def texts(value: str) -> list[str]:
    return [view.text for view in views(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", ["plain"]),
        ("４１\u200b１", ["411"]),
        ("٤١١ १", ["411 1"]),
        ("a‐b−c–d", ["a-b-c-d"]),
        ("a\u00a0b\u2003c", ["a b c"]),
        ("a＠b。c", ["a@b.c"]),
        ("1\u0336\u20e3", ["1"]),
        ("a\x00b\x1fc\nd", ["abc\nd"]),
        ("a%40b", ["a%40b", "a@b"]),
        ("a%2540b", ["a%2540b", "a%40b", "a@b"]),
        ("%C3%A9%40", ["%C3%A9%40", "é@"]),
        ("%ff%40", ["%ff%40", "ÿ@"]),
        ("a\\u0040b", ["a\\u0040b", "a@b"]),
        ("a\\\\u0040b", ["a\\\\u0040b", "a\\u0040b", "a@b"]),
        ("\\x40\\/\\n", ["\\x40\\/\\n", "@/\n"]),
        ("\\ud83d\\ude00!", ["\\ud83d\\ude00!", "😀!"]),
        ("&#64;&#x40;", ["&#64;&#x40;", "@@"]),
        ("%EF%BC%91", ["%EF%BC%91", "1"]),
        ("100% of \\q", ["100% of \\q"]),
    ],
)
def test_views(value: str, expected: list[str]) -> None:
    assert texts(value) == expected


def test_it_ends_after_some_layers() -> None:
    value = "@"
    for _ in range(10):
        value = quote(value, safe="")
    assert len(texts(value)) == MOST_LAYERS + 1


@given(st.text(), st.sampled_from(["john@example.com", "4111-1111"]), st.text())
def test_places_in_a_view_are_places_in_the_text(before: str, value: str, after: str) -> None:
    for written in (value, quote(value, safe=""), "".join(f"\\u{ord(c):04x}" for c in value), json.dumps(value)):
        text = sound(f"{before}\n{written}\n{after}")
        for view in views(text):
            place = view.text.find(value)
            if place < 0:
                continue
            start, end = view.span(place, place + len(value))
            assert 0 <= start < end <= len(text)
        assert any(value in view.text for view in views(text))


@given(st.text(st.characters(categories=["Cs", "Ll", "Mn"])))
def test_sound_texts_can_be_encoded(value: str) -> None:
    sound(value).encode()


@given(st.text())
def test_every_character_of_a_view_has_a_place(value: str) -> None:
    for view in views(value):
        if view.starts is not None:
            assert len(view.starts) == len(view.text) + 1
            assert list(view.starts) == sorted(view.starts)
            assert view.starts[-1] == len(value)
