"""The cursor: what is there by its type, what is not as nothing, what is wrong by its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.doctor.tree import Tree, UnreadableError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
READERS: list[Callable[[Tree], Any]] = [
    Tree.items,
    Tree.texts,
    Tree.text,
    Tree.flag,
    Tree.number,
    Tree.seconds,
    Tree.type,
    lambda tree: list(tree.members()),
    lambda tree: tree.at("a", "b").text(),
    lambda tree: tree.has("a"),
]


def test_what_is_there() -> None:
    tree = Tree({"a": [{"b": "c", "n": "12", "m": 3, "t": "1.5s", "f": True, "@type": "x/y.Z"}]})
    (item,) = tree.items("a")
    assert (item.text("b"), item.number("n"), item.number("m"), item.seconds("t"), item.flag("f"), item.type()) == (
        "c", 12.0, 3.0, 1.5, True, "Z",
    )  # fmt: skip
    assert [name for name, _ in item.members()] == ["b", "n", "m", "t", "f", "@type"]


def test_what_is_not_there_is_nothing() -> None:
    tree = Tree({"a": None})
    assert (tree.items("x"), tree.text("x", "y"), tree.number("a"), tree.seconds("z"), tree.flag("f")) == (
        [], "", None, None, False,
    )  # fmt: skip
    assert tree.flag("f", default=True)
    assert not tree.at("a")
    assert not tree.has("a")
    assert Tree({"a": {}}).has("a")


@pytest.mark.parametrize(
    ("value", "read", "said"),
    [
        ({"a": "x"}, lambda t: t.items("a"), "a: expected a list, found a string"),
        ({"a": [1]}, lambda t: t.texts("a"), "a[0]: expected a string, found a number"),
        ({"a": {"b": []}}, lambda t: t.text("a", "b", "c"), "a.b: expected a mapping, found a list"),
        ({"a": 1}, lambda t: t.flag("a"), "a: expected true or false, found a number"),
        ({"a": True}, lambda t: t.number("a"), "a: expected a number, found true or false"),
        ({"a": float("nan")}, lambda t: t.number("a"), "a: expected a number, found a number"),
        ({"a": 10**400}, lambda t: t.number("a"), "a: expected a number, found a number"),
        ({"a": "5"}, lambda t: t.seconds("a"), "a: expected a duration such as 5s, found a string"),
        ([], lambda t: t.text("a"), "the document: expected a mapping, found a list"),
        ({1: 2}, lambda t: t.text("a"), "the document: expected a mapping by names, found a mapping"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(value: Any, read: Callable[[Tree], Any], said: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        read(Tree(value))
    assert str(raised.value) == said


def test_what_stood_there_is_not_told() -> None:
    with pytest.raises(UnreadableError) as raised:
        Tree({"key": "secret"}).number("key")
    assert "secret" not in str(raised.value)


@given(JSON)
def test_whatever_is_read_is_a_value_or_unreadable(value: Any) -> None:
    for read in READERS:
        with contextlib.suppress(UnreadableError):
            read(Tree(value))
