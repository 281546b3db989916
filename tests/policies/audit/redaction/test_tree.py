from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.redaction.tree import DEEPEST, LARGEST, MOST_VALUES, Walk
from tests.policies.audit.redaction.samples import redactor, without_hashes

REDACTOR = redactor()


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def plain(value: Any) -> Any:
    """The redacted value without the hashes of its labels."""
    return orjson.loads(without_hashes(orjson.dumps(REDACTOR.tree(value)).decode()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (0.5, "0.5"),
        (float("inf"), "inf"),
        (Decimal("1.50"), "1.50"),
        (LARGEST, LARGEST),
        (LARGEST + 1, str(LARGEST + 1)),
        (4111111111111111, "[card]"),
        (4111111111111111.0, "[card].0"),
        (1 << 300, "[too long: 301 characters]"),
        (b"a@example.com", "[email]"),
        (("a", 1), ["a", 1]),
        ({1: "a", "1": "b"}, {"1": "a", "1#2": "b"}),
        ({"a@example.com": 1}, {"[email]": 1}),
        ({"password": "x"}, {"password": "[secret]"}),
        ({"password": 1234}, {"password": "[secret]"}),
        ({"password": None, "api_key": ""}, {"password": None, "api_key": ""}),
        ({"password": {"type": "string"}}, {"password": {"type": "string"}}),
        ({"secrets": ["a", "b"]}, {"secrets": ["[secret]", "[secret]"]}),
        ({"token": "Hello"}, {"token": "Hello"}),
        ({"token": "0a1b2c3d4e5f6a7b"}, {"token": "[secret]"}),
        ({"max_tokens": 4096}, {"max_tokens": 4096}),
        ({"arguments": '{"password": "x"}'}, {"arguments": '{"password": "[secret]"}'}),
        (Unreadable(), "[unreadable]"),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_secrets_by_name_count_only_if_secrets_do() -> None:
    assert redactor(classes=["email"]).tree({"password": "hunter2"}) == {"password": "hunter2"}


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("card 4111 1111", " 1111 1111."), ("card [card]", ".")),
        (("john@exam", "ple.com"), ("[email]", "")),
        (("a john", "@", "example.com b"), ("a [email]", "", " b")),
        (("password=", "hunter2 x@example.com"), ("password=[secret]"[:9], "[secret] [email]")),
        (("a@example.com", " b@example.com"), ("[email]", " [email]")),
        (("none", "here"), ("none", "here")),
        (("a@example.com 4111 1111", " 1111 1111 b@example.com"), ("[email] [card]", " [email]")),
    ],
)
def test_a_value_split_over_parts(texts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    kept = plain({"content": parts(*texts)})["content"]
    assert tuple(part["text"] for part in kept) == expected
    assert tuple(plain({"content": list(texts)})["content"]) == expected


def test_images_between_parts_do_not_matter() -> None:
    one, other = parts("john@exam", "ple.com")
    assert plain([one, {"type": "image_url"}, other])[2]["text"] == ""


def test_lists_of_other_strings_are_not_read_as_one() -> None:
    assert plain({"stop": ["4111 1111", " 1111 1111"]}) == {"stop": ["4111 1111", " 1111 1111"]}


def test_depth_is_bounded() -> None:
    value: Any = "a@example.com"
    for _ in range(5000):
        value = [value]
    kept = REDACTOR.tree(value)
    for _ in range(DEEPEST):
        (kept,) = kept
    assert kept == "[too deep]"


def test_a_value_inside_of_itself_ends() -> None:
    value: dict[str, Any] = {}
    value["a"] = value["b"] = [value, value]
    walk = Walk(REDACTOR)
    assert walk.value(value)
    assert walk.found


def test_size_is_bounded() -> None:
    kept = REDACTOR.tree([0] * (MOST_VALUES + 10))
    assert len(kept) <= MOST_VALUES + 1
    assert kept[-1].endswith(" items]")
    assert REDACTOR.tree(["x y " * 200_000] * 12)[-1] == "[too long: 800000 characters]"


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_the_outcome_is_json_and_stays(value: Any) -> None:
    kept = REDACTOR.tree(value)
    assert orjson.loads(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)) == kept
    assert REDACTOR.tree(kept) == kept
