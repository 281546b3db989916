"""What header fields say: values that are known, in any number that a client sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange import Headers
from policies.cost.settings import TagSettings
from policies.cost.tags import Attribution, Tags

TAGS = Tags(
    [
        TagSettings(name="project", header="x-project", values=("apollo", "gemini")),
        TagSettings(name="stage", header="x-stage", values=("test",)),
    ]
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("fields", "trace", "tags"),
    [
        ([("x-project", "apollo")], "", ("apollo", "none")),
        ([("x-project", "Apollo"), ("x-stage", "test")], "", ("other", "test")),
        ([("x-project", "")], "", ("other", "none")),
        ([("x-project", "apollo"), ("x-project", "apollo")], "", ("other", "none")),
        ([("x-project", "none")], "", ("other", "none")),
        ([("traceparent", PARENT)], TRACE, ()),
        ([("traceparent", PARENT), ("x-stage", "test")], TRACE, ("none", "test")),
        ([("traceparent", "00-x-y-01"), ("x-stage", "test")], "", ("none", "test")),
    ],
)
def test_what_is_said(fields: list[tuple[str, str]], trace: str, tags: tuple[str, ...]) -> None:
    assert TAGS.read(Headers(fields)) == Attribution(trace, tags)


def test_where_nothing_is_configured_or_nothing_said_there_is_nothing() -> None:
    assert TAGS.read(Headers([("x-else", "apollo")])) is None
    assert TAGS.read(Headers([("traceparent", "00-x-y-01")])) is None
    assert Tags([]).read(Headers([("x-project", "apollo")])) is None
    assert Tags([]).read(Headers([("traceparent", PARENT)])) == Attribution(TRACE)


@given(st.lists(st.tuples(st.sampled_from(["x-project", "x-stage", "traceparent"]), st.text(max_size=60))))
def test_whatever_is_sent_the_values_are_bounded(fields: list[tuple[str, str]]) -> None:
    said = TAGS.read(Headers(fields))
    if said is None:
        assert not {name for name, _ in fields} & {"x-project", "x-stage"}
        return
    for value, known in zip(said.tags, (("apollo", "gemini"), ("test",)), strict=False):
        assert value in (*known, "other", "none")
    assert len(said.tags) in (0, 2)
    assert said.trace == "" or len(said.trace) == 32
