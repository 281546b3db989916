"""The circuit breaker of a sink."""

from __future__ import annotations

import pytest

from policies.audit.following.breaker import Breaker, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@pytest.mark.parametrize(("failures", "state"), [(0, CLOSED), (2, CLOSED), (3, OPEN), (4, OPEN)])
def test_it_opens_after_so_many_failures_in_a_row(failures: int, state: BreakerState) -> None:
    breaker = Breaker(3, 10.0)
    for _ in range(failures):
        breaker.failed(100.0)
    assert breaker.state(100.0) is state
    assert breaker.failures == failures
    assert breaker.remaining(103.0) == (7.0 if state is OPEN else 0.0)


def test_a_success_between_them_counts_anew() -> None:
    breaker = Breaker(3, 10.0)
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) is CLOSED
    assert breaker.opened == 0


def test_after_its_pause_it_is_half_open_and_a_failure_opens_it_again() -> None:
    breaker = Breaker(2, 10.0)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.state(9.9) is OPEN
    assert breaker.state(10.0) is HALF_OPEN
    assert breaker.remaining(10.0) == 0.0
    breaker.failed(10.0)
    assert breaker.state(19.9) is OPEN
    assert breaker.opened == 2
    assert breaker.state(20.0) is HALF_OPEN
    breaker.succeeded()
    assert breaker.state(20.0) is CLOSED
    assert breaker.failures == 0
