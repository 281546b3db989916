"""What is asked of a store: how much a demand reserves, and what a failure says."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from policies.limits.limit import Measure, Window
from policies.limits.store import Demand, StoreUnavailableError

AMOUNTS = st.integers(0, 10**12)


@given(AMOUNTS, st.integers(0, 10_000_000), st.integers(0, 10**9))
def test_a_demand_reserves_what_the_output_costs_rounded_up(fixed: int, output: int, per_output: int) -> None:
    demand = Demand("k", "c", Measure.DOLLARS, Window.DAY, 10**12, fixed, per_output)
    assert demand.reserved(output) == fixed + math.ceil(Fraction(output * per_output, 10**6))


def test_a_failure_may_have_been_done_unless_it_says_that_it_was_never_asked() -> None:
    assert StoreUnavailableError("no answer").asked
    assert not StoreUnavailableError("not connected", asked=False).asked
