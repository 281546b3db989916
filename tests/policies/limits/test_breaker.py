"""The circuit breaker: who may ask, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.limits.breaker import Breaker


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for before in (0.25, 0.125, 0.0):
        assert breaker.may_ask(at - before)
        breaker.failed(at - before)
    return breaker


def test_many_who_fail_at_one_moment_are_one_failure() -> None:
    breaker = Breaker()
    for caller in range(100):
        breaker.failed(caller / 1_000)
    assert not breaker.is_open
    breaker.failed(0.21)
    assert breaker.is_open


def test_a_few_failures_leave_it_closed() -> None:
    breaker = Breaker()
    breaker.failed(0)
    breaker.failed(0)
    assert not breaker.is_open
    assert breaker.may_ask(0)


def test_a_success_begins_the_count_anew() -> None:
    breaker = Breaker()
    breaker.failed(0)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(0)
    breaker.failed(0)
    assert not breaker.is_open


def test_three_in_a_row_open_it_for_a_quarter_of_a_second() -> None:
    breaker = opened()
    assert breaker.is_open
    assert not breaker.may_ask(0.24)
    assert breaker.may_ask(0.26)


def test_one_probes_and_the_others_wait_for_what_comes_of_it() -> None:
    breaker = opened()
    assert breaker.may_ask(0.3)
    assert not breaker.may_ask(0.3)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.may_ask(0.3)
    assert breaker.may_ask(0.3)


def test_each_failed_probe_doubles_the_pause_up_to_five_seconds() -> None:
    breaker, now, pauses = opened(), 0.25, []
    for _ in range(8):
        assert breaker.may_ask(now)
        breaker.failed(now)
        pause = 0.25
        while not breaker.may_ask(now + pause):
            pause += 0.25
        breaker.abandoned()
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


def test_a_probe_that_left_lets_another_probe() -> None:
    breaker = opened()
    assert breaker.may_ask(0.3)
    breaker.abandoned()
    assert breaker.may_ask(0.3)


def test_a_probe_that_never_says_anything_is_given_up() -> None:
    breaker = opened()
    assert breaker.may_ask(0.3)
    assert not breaker.may_ask(2.2)
    assert breaker.may_ask(2.4)


def test_who_asked_before_it_opened_and_fails_late_does_not_count_as_a_probe() -> None:
    breaker = opened()
    breaker.failed(0.1)
    assert breaker.may_ask(0.26)


@given(st.lists(st.tuples(st.sampled_from(["ask", "succeed", "fail", "abandon"]), st.floats(0, 3)), max_size=60))
def test_it_always_lets_somebody_ask_again(moves: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for move, pause in moves:
        now += pause
        match move:
            case "ask":
                breaker.may_ask(now)
            case "succeed":
                breaker.succeeded()
            case "fail":
                breaker.failed(now)
            case _:
                breaker.abandoned()
    # The longest pause, and the longest a probe is waited for.
    assert breaker.may_ask(now + 5.1 + 2.1)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1.9)), max_size=40))
def test_of_those_who_may_ask_while_it_is_open_one_at_a_time_probes(moves: list[tuple[int, float]]) -> None:
    breaker, now = opened(), 0.0
    probing: float | None = None
    for move, pause in moves:
        now += pause
        if move < 2:
            if breaker.may_ask(now):
                # Another is let through only where the one before has said what came of it, or is given up.
                assert probing is None or now >= probing + 2.0
                probing = now
        elif probing is not None:
            if move == 2:
                breaker.failed(now)
                assert not breaker.may_ask(now)
            else:
                breaker.abandoned()
            probing = None


@given(st.integers(1, 10), st.lists(st.booleans(), max_size=40))
def test_it_opens_at_so_many_failures_in_a_row_and_not_before(most: int, answers: list[bool]) -> None:
    breaker, in_a_row = Breaker(most, persists=0), 0
    for answered in answers:
        if answered:
            breaker.succeeded()
            in_a_row = 0
        else:
            breaker.failed(0)
            in_a_row += 1
        assert breaker.is_open == (in_a_row >= most)
