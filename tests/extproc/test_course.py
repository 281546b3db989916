"""What is written down of an exchange while policies are asked."""

from __future__ import annotations

import asyncio

import pytest

from extproc.course import Course
from extproc.exchange import Exchange
from tests.extproc.world import request


@pytest.mark.parametrize(
    ("ahead", "left", "kept"),
    [(False, 60.0, False), (True, 60.0, True), (True, -1.0, False), (True, None, False)],
    ids=["asked for it", "it may have come long ago", "it came later", "nobody was waited for"],
)
async def test_how_long_policies_may_be_waited_for_on_the_body(ahead: bool, left: float | None, kept: bool) -> None:
    """Envoy counts the time for a body from when it has sent it. Who waited for the headers has used some of that."""
    deadline = None if left is None else asyncio.get_running_loop().time() + left
    course = Course(Exchange("ex-1", request()), deadline=deadline, ahead=ahead)
    course.has_body()
    assert course.deadline == (deadline if kept else None)
