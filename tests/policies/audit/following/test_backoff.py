"""The pause before the next attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.following.backoff import backoff


@pytest.mark.parametrize(
    ("attempt", "bound"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (1_000, 60.0), (10**9, 60.0)]
)
def test_the_bound_doubles_up_to_the_most(attempt: int, bound: float) -> None:
    assert backoff(attempt, 1.0, first=0.5, most=60.0) == bound
    assert backoff(attempt, 0.25, first=0.5, most=60.0) == bound / 4


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0.01, 60), st.floats(0.01, 3_600))
def test_it_is_never_longer_than_the_most(attempt: int, chance: float, first: float, most: float) -> None:
    assert 0 <= backoff(attempt, chance, first=first, most=most) <= most
