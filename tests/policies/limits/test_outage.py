"""While Redis is away each limit means what it declares."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.price import Price
from policies.limits.demands import Scale, Size, demands
from policies.limits.limit import Limit, Outage
from policies.limits.memory_store import MemoryStore
from policies.limits.outage import Fallback
from policies.limits.refusals import refusal
from policies.limits.settings import Weights
from policies.limits.store import Answer, Standing, Used
from policies.limits.told import Stood, remaining
from tests.policies.limits.world import NOW, ask, limit

LOCAL, CLOSED, ALLOWANCE = Outage.LOCAL, Outage.CLOSED, Outage.ALLOWANCE
PLAIN = Scale.of(Weights())
NO_TOKENS = Size()


class Worker:
    """A worker without Redis, and its clocks."""

    def __init__(self, *, workers: int = 1, local_for: float = 300.0) -> None:
        self.now = NOW
        self.fallback = Fallback(MemoryStore(lambda: self.now), workers=workers, local_for=local_for)
        self.asked = 0

    def ask(self, *limits: Limit, size: Size = NO_TOKENS, at: float = 0.0, **more: Any) -> Answer | None:
        """What it says to another request; `at`: seconds on its own clock."""
        self.asked += 1
        asked = ask(*demands(limits, size, PLAIN), id=f"r{self.asked}", output=size.output, **more)
        return self.fallback.decide(limits, asked, at)

    def admits(self, *limits: Limit, times: int, size: Size = NO_TOKENS) -> int:
        """How many of so many requests it lets through."""
        answers = [self.ask(*limits, size=size) for _ in range(times)]
        return sum(answer is not None and answer.admitted for answer in answers)


def rpm(amount: int = 60, outage: Outage = LOCAL, **more: Any) -> Limit:
    return limit(amount=amount, outage=outage, **more)


def budget(amount: int, outage: Outage = CLOSED, **more: Any) -> Limit:
    return limit("dollars_per_day", amount, "contoso", outage=outage, **more)


PARALLEL = limit("parallel_requests", 1, outage=LOCAL)


@pytest.mark.parametrize(
    ("limits", "workers", "admitted"),
    [
        ([rpm(8)], 1, 8),
        ([rpm(8)], 4, 2),
        ([rpm(8)], 3, 2),
        # At least one: a limit of 3 among 4 workers would else be none.
        ([rpm(3)], 4, 1),
        ([rpm(0)], 1, 0),
        ([rpm(8, CLOSED)], 1, 0),
        ([rpm(8), limit("tokens_per_day", 100, outage=CLOSED)], 1, 0),
        ([rpm(8, ALLOWANCE, allowance=4)], 1, 4),
        ([rpm(8, ALLOWANCE, allowance=4)], 2, 2),
        # An allowance is never exceeded, and not more than the limit itself.
        ([rpm(8, ALLOWANCE, allowance=3)], 4, 0),
        ([rpm(8, ALLOWANCE, allowance=0)], 1, 0),
        ([rpm(8, ALLOWANCE, allowance=20)], 2, 4),
        # The tightest of several.
        ([rpm(8), limit("requests_per_day", 5, "contoso", outage=LOCAL)], 1, 5),
        ([rpm(8), limit("requests_per_day", 5, "contoso", outage=ALLOWANCE, allowance=3)], 1, 3),
        # What is not enforced refuses nobody, and nobody learns how the parallel ones ended.
        ([rpm(8), rpm(0, CLOSED, shadow=True)], 1, 8),
        ([rpm(8, shadow=True)], 1, 20),
        ([PARALLEL], 1, 20),
        ([PARALLEL, rpm(8)], 1, 8),
        ([limit("parallel_requests", 5, outage=CLOSED)], 1, 0),
        ([], 1, 20),
    ],
)
def test_how_many_a_worker_lets_through(limits: list[Limit], workers: int, admitted: int) -> None:
    assert Worker(workers=workers).admits(*limits, times=20) == admitted


def test_a_refused_request_costs_no_other_limit() -> None:
    """On every level or on none, also here."""
    worker = Worker()
    user, tenant = rpm(5), limit(amount=2, subject="contoso", outage=LOCAL)
    assert worker.admits(user, tenant, times=10) == 2
    assert worker.admits(user, times=10) == 3


def test_tokens_and_dollars_are_counted_as_in_redis() -> None:
    worker = Worker(workers=2)
    tpm = limit("tokens_per_minute", 2_000, outage=LOCAL)
    assert worker.admits(tpm, times=10, size=Size(100, 200)) == 3
    tpd = limit("tokens_per_day", 2_000, "contoso", outage=LOCAL)
    answer = worker.ask(tpd, size=Size(900, 400))
    assert answer is not None
    # A budget clamps, to what this worker's share of it leaves.
    assert (answer.admitted, answer.output) == (True, 100)


@pytest.mark.parametrize(
    ("seconds", "outage", "answered"),
    [
        (0.0, LOCAL, True),
        (300.0, LOCAL, True),
        (300.1, LOCAL, False),
        (1e9, LOCAL, False),
        (1e9, ALLOWANCE, True),
        (0.0, CLOSED, False),
    ],
)
def test_local_limits_close_after_a_while(seconds: float, outage: Outage, answered: bool) -> None:
    worker = Worker(local_for=300.0)
    worker.fallback.away(1_000.0)
    worker.fallback.away(1_000.0 + seconds)  # it is away since it was first noticed
    answer = worker.ask(rpm(8, outage, allowance=5), at=1_000.0 + seconds)
    assert (answer is not None) is answered


def test_another_outage_is_another_while() -> None:
    worker = Worker(local_for=300.0)
    assert not worker.fallback.is_away()
    worker.fallback.away(0.0)
    assert worker.fallback.is_away()
    assert worker.ask(rpm(), at=301.0) is None
    worker.fallback.back()
    assert not worker.fallback.is_away()
    worker.fallback.away(400.0)
    assert worker.ask(rpm(), at=700.0) is not None


def test_an_allowance_that_is_used_up_closes() -> None:
    """It is no refusal by the limit: how much of that is used, nobody can say."""
    worker = Worker()
    small = limit("requests_per_day", 1_000, outage=ALLOWANCE, allowance=2)
    for _ in range(2):
        answer = worker.ask(rpm(), small)
        assert answer is not None
        assert answer.admitted
    assert worker.ask(rpm(), small) is None
    # A rate that refuses says so, as long as the allowance is not the reason.
    refused = [worker.ask(rpm(1, subject="contoso/user=bob")) for _ in range(2)][1]
    assert refused is not None
    assert not refused.admitted


def test_an_allowance_in_dollars() -> None:
    worker = Worker(workers=2)
    price = Price.per_million(input=Decimal(2), output=Decimal(4))
    month = budget(10**9, ALLOWANCE, allowance=1_000)
    # 500 micro-dollars for each worker: 50 tokens in and 100 out are worth all of it.
    answer = worker.ask(month, size=Size(50, 4_096, price=price))
    assert answer is not None
    assert (answer.admitted, answer.output) == (True, 100)
    assert worker.ask(month, size=Size(1, 1, price=price)) is None


def test_standings_are_in_the_order_of_the_demands() -> None:
    """Of what is not counted meanwhile as well."""
    worker = Worker()
    user, tenant = rpm(8), limit("tokens_per_minute", 1_000, "contoso", outage=LOCAL)
    answer = worker.ask(PARALLEL, user, rpm(3, CLOSED, shadow=True), tenant, size=Size(100, 50))
    assert answer is not None
    nothing, minute = Standing(0, 0, 0), 60_000
    assert answer.standings == (
        nothing,
        Standing(1, 0, minute, reserved=1),
        nothing,
        Standing(150, 0, minute, reserved=150),
    )
    uncounted = worker.ask(PARALLEL, rpm(3, shadow=True))
    assert uncounted == Answer(True, 0, (nothing, nothing))


@pytest.mark.parametrize(
    ("amount", "workers", "asked", "left"),
    [
        (60, 1, 10, 50),
        (60, 4, 5, 40),
        (60, 4, 15, 0),
        (60, 4, 16, 0),  # refused
        (61, 4, 3, 48),  # a share of 15 used by a fifth: 12.2, rounded up
        (3, 4, 1, 0),
    ],
)
def test_callers_are_told_of_the_whole_limit(amount: int, workers: int, asked: int, left: int) -> None:
    """As if every worker had used as much as this one."""
    worker = Worker(workers=workers)
    answer = [worker.ask(rpm(amount)) for _ in range(asked)][-1]
    assert answer is not None
    assert remaining(rpm(amount).rule, answer.standings[0]) == left


def test_who_is_refused_comes_back_when_there_is_room() -> None:
    """Not at once, because by the whole limit there seems to be some."""
    worker = Worker(workers=4)
    tpm = limit("tokens_per_minute", 10_000, outage=LOCAL)
    size = Size(4_000)
    answer = worker.ask(tpm, size=size)
    assert answer is not None
    assert not answer.admitted
    found = refusal([Stood(tpm, demands([tpm], size, PLAIN)[0], answer.standings[0])], 0, 16)
    assert found is not None
    assert found.wait is not None
    assert found.wait > 60_000


def test_windows_pass_as_they_do_in_redis() -> None:
    worker = Worker(workers=2)
    assert worker.admits(rpm(8), times=10) == 4
    worker.now += 90_000
    assert worker.admits(rpm(8), times=10) == 2
    answer = worker.ask(rpm(8))
    assert answer is not None
    assert answer.standings[0] == Standing(8, 8, 30_000, True, reserved=2)


def test_how_it_ended_is_counted_where_it_was_let_through() -> None:
    worker = Worker()
    tpm = limit("tokens_per_minute", 1_000, outage=LOCAL)
    assert worker.admits(tpm, times=1, size=Size(100, 800)) == 1
    assert worker.admits(tpm, times=1, size=Size(500)) == 0
    worker.fallback.settle("contoso", "r1", Used(1, 150))
    assert worker.admits(tpm, times=1, size=Size(500)) == 1
    worker.fallback.settle("contoso", "never seen", Used(1, 150))


def test_the_same_request_again_is_let_through_again_and_counted_once() -> None:
    worker = Worker()
    asked = ask(*demands([rpm(2)], Size(), PLAIN), id="same")
    answers = [worker.fallback.decide([rpm(2)], asked, 0.0) for _ in range(3)]
    assert [answer is not None and answer.admitted for answer in answers] == [True, True, True]
    assert worker.admits(rpm(2), times=5) == 1


@given(
    st.integers(1, 200),
    st.integers(0, 250),
    st.integers(1, 8),
    st.sampled_from([LOCAL, ALLOWANCE]),
    st.lists(st.integers(0, 7), max_size=60),
)
def test_all_workers_together_stay_within_the_limit(
    amount: int, allowance: int, workers: int, outage: Outage, turns: list[int]
) -> None:
    """Whichever of them is asked. (A local limit that is smaller than their number lets one through for each.)"""
    everybody = [Worker(workers=workers) for _ in range(workers)]
    of = rpm(amount, outage, allowance=allowance)
    admitted = sum(everybody[turn % workers].admits(of, times=3) for turn in turns)
    assert admitted <= (max(amount, workers) if outage is LOCAL else min(amount, allowance))
