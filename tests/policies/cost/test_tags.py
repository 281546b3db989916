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
        ([], "", ("none", "none")),
        ([("x-project", "apollo")], "", ("apollo", "none")),
        ([("x-project", "Apollo"), ("x-stage", "test")], "", ("other", "test")),
        ([("x-project", "")], "", ("other", "none")),
        ([("x-project", "apollo"), ("x-project", "apollo")], "", ("other", "none")),
        ([("x-project", "none")], "", ("other", "none")),
        ([("traceparent", PARENT)], TRACE, ("none", "none")),
        ([("traceparent", "00-x-y-01")], "", ("none", "none")),
    ],
)
def test_what_is_said(fields: list[tuple[str, str]], trace: str, tags: tuple[str, ...]) -> None:
    assert TAGS.read(Headers(fields)) == Attribution(trace, tags)


def test_where_nothing_is_configured_and_nothing_said_there_is_nothing() -> None:
    assert Tags([]).read(Headers([("x-project", "apollo")])) is None
    assert Tags([]).read(Headers([("traceparent", PARENT)])) == Attribution(TRACE)


@given(st.lists(st.tuples(st.sampled_from(["x-project", "x-stage", "traceparent"]), st.text(max_size=60))))
def test_whatever_is_sent_the_values_are_bounded(fields: list[tuple[str, str]]) -> None:
    said = TAGS.read(Headers(fields))
    assert said is not None
    assert said.tags[0] in ("apollo", "gemini", "other", "none")
    assert said.tags[1] in ("test", "other", "none")
    assert said.trace == "" or len(said.trace) == 32
