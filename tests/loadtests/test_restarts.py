"""What the run of restarts counts as a failure."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from loadtests.restarts import failures

GOOD: dict[str, Any] = {
    "5 rolling restarts": {"requests": 1000, "errors": 0, "all_done": True},
    "a worker killed": {"requests": 1000, "errors": 7},
    "afterwards": {"requests": 1000, "errors": 0},
    "settlement": {"requests": 3000, "settled": 3000, "settled_more_than_once": 0},
}


def test_what_a_killed_worker_had_in_its_hands_is_no_failure() -> None:
    assert failures(GOOD, 5) == []


@pytest.mark.parametrize(
    ("phase", "name", "value", "words"),
    [
        ("5 rolling restarts", "errors", 1, "a restart failed a request"),
        ("5 rolling restarts", "all_done", False, "the restarts outlasted the load"),
        ("a worker killed", "errors", 33, "more failed with a worker"),
        ("afterwards", "errors", 1, "it had not recovered"),
        ("settlement", "settled", 2999, "not every request was settled once"),
        ("settlement", "settled_more_than_once", 1, "not every request was settled once"),
    ],
)
def test_each_failure_is_named(phase: str, name: str, value: object, words: str) -> None:
    found = copy.deepcopy(GOOD)
    found[phase][name] = value
    (failure,) = failures(found, 5)
    assert failure.startswith(words)
