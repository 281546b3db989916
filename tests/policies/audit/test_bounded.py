"""However much a client sends, what is looked through of it is little; what is little stands as it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.bounded import LONGEST, MOST_CHARACTERS, MOST_VALUES, TOO_LONG, Allowance, name
from tests.policies.audit.world import Marked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=200), inner, max_size=8),
    max_leaves=200,
)


def characters(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(key) + characters(member) for key, member in value.items())
    if isinstance(value, list):
        return sum(map(characters, value))
    return len(value) if isinstance(value, str) else 0


def values(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + sum(map(values, inner))


def test_a_name_is_looked_through_up_to_its_length() -> None:
    assert name("a" * LONGEST, Marked()) == f"<{'a' * LONGEST}>"
    assert name("a" * (LONGEST + 1), Marked()) == f"[too long: {LONGEST + 1} characters]"


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 5, 0.5, "auto", {"type": "function", "function": {"name": "search"}}, ["a", "b"], {}, []),
        *("a" * MOST_CHARACTERS, {"a" * MOST_CHARACTERS: 1}, [0] * (MOST_VALUES - 1)),
    ],
)
def test_what_is_little_stands_as_it_is(value: Any) -> None:
    assert Allowance().bounded(value) is value


@pytest.mark.parametrize(
    "value",
    [
        *("a" * (MOST_CHARACTERS + 1), {"a" * (MOST_CHARACTERS + 1): 1}, 1 << (4 * MOST_CHARACTERS)),
        *([0] * MOST_VALUES, {str(number): 0 for number in range(MOST_VALUES)}, [["a" * 300] * 2] * 2, [[0] * 60] * 3),
    ],
)
def test_what_is_more_is_replaced(value: Any) -> None:
    assert Allowance().bounded(value) == TOO_LONG


def test_what_is_too_much_takes_nothing_from_what_comes_behind_it() -> None:
    allowance = Allowance()
    given_in = ["auto", "a" * 5_000, "low", ["b"] * 5_000, "c" * (MOST_CHARACTERS - 7)]
    assert [allowance.bounded(value) for value in given_in] == ["auto", TOO_LONG, "low", TOO_LONG, given_in[-1]]
    assert allowance.bounded("d") == TOO_LONG


def test_no_depth_is_too_much_for_it() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    assert Allowance().bounded(deep) == TOO_LONG


@given(st.lists(JSON, max_size=6))
def test_all_together_is_never_more_than_there_is(given_in: list[Any]) -> None:
    allowance = Allowance()
    kept = [value for value in given_in if allowance.bounded(value) is value]
    assert sum(map(characters, kept)) <= MOST_CHARACTERS
    # A member of an object counts for its name as well.
    assert sum(map(values, kept)) <= MOST_VALUES
