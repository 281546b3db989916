"""What is learned stays within its limits, whatever was seen."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from policies.limits.tokens.learned import FADING, Learned

TOKENS = st.integers(0, 2_000_000)
CALLS = st.lists(st.tuples(TOKENS, TOKENS, TOKENS), max_size=60)


def learned(calls: list[tuple[int, int, int]]) -> Learned:
    sums = Learned()
    for estimated, actual, output in calls:
        sums.add(estimated, actual, output)
    return sums


def alike(samples: int, ratio: float, output: int = 100) -> Learned:
    return Learned(samples, samples * 1_000, int(samples * 1_000 * ratio), samples * output, samples * output * output)


@given(CALLS, CALLS)
def test_sums_of_workers_are_the_sums_of_all_calls(
    one: list[tuple[int, int, int]], two: list[tuple[int, int, int]]
) -> None:
    merged = learned(one)
    merged.merge(learned(two))
    assert merged == learned(one + two)
    other = learned(two)
    other.merge(learned(one))
    assert merged == other


@given(st.builds(Learned, *[st.integers(0, 10**9)] * 5), st.builds(Learned, *[st.integers(0, 10**9)] * 5))
def test_past_the_bound_all_sums_are_halved(mine: Learned, theirs: Learned) -> None:
    plain = [a + b for a, b in zip(astuple(mine), astuple(theirs), strict=True)]
    mine.merge(theirs)
    halvings = max(0, math.ceil(math.log2(plain[0] / FADING))) if plain[0] else 0
    assert mine.samples <= FADING
    assert list(astuple(mine)) in ([one >> by for one in plain] for by in (halvings, halvings + 1))
    assert mine.samples > FADING // 2 or plain[0] <= FADING


def test_what_was_long_ago_fades() -> None:
    sums = alike(FADING, 0.5)
    for _ in range(40):
        sums.merge(alike(FADING // 2, 1.5))
    assert sums.ratio == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "ratio", "expected"),
    [
        (0, 1.0, 1.0),
        (19, 1.9, 1.0),
        (20, 1.5, 1.65),
        (20, 1.9, 2.0),
        (20, 5.0, 2.0),
        *((samples, 0.6, 1.0) for samples in (19, 20, 199)),
        (200, 0.6, 0.66),
        (200, 0.1, 0.5),
        (200, 1.0, 1.1),
        (FADING, 9.0, 2.0),
    ],
)
def test_the_factor(samples: int, ratio: float, expected: float) -> None:
    assert alike(samples, ratio).factor() == pytest.approx(expected)


@given(CALLS, st.integers(1, 20))
def test_the_factor_stays_within_its_limits(calls: list[tuple[int, int, int]], times: int) -> None:
    sums = learned(calls * times)
    assert 0.5 <= sums.factor() <= 2.0
    assert sums.factor() >= 1.0 or sums.samples >= 200


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.5, 1.8)), min_size=200, max_size=300))
def test_by_the_factor_the_whole_is_not_below_what_was_used(calls: list[tuple[int, float]]) -> None:
    seen = [(estimated, int(estimated * ratio), 0) for estimated, ratio in calls]
    assert sum(one[0] for one in seen) * learned(seen).factor() >= sum(one[1] for one in seen)


def test_without_an_estimate_there_is_no_ratio() -> None:
    assert Learned().ratio is None
    assert learned([(0, 50, 0)] * 300).ratio is None
    assert learned([(0, 50, 0)] * 300).factor() == 1.0


@given(CALLS, st.integers(0, 1_000_000))
def test_the_usual_output_is_at_most_the_ceiling(calls: list[tuple[int, int, int]], ceiling: int) -> None:
    sums = learned(calls)
    usual = sums.usual_output(ceiling)
    assert min(1, ceiling) <= usual <= ceiling
    assert usual == ceiling or sums.samples >= 20


@given(st.lists(st.integers(0, 100_000), min_size=20, max_size=60))
def test_the_usual_output_is_mean_and_deviation(outputs: list[int]) -> None:
    usual = learned([(1, 1, output) for output in outputs]).usual_output(10**9)
    assert usual == pytest.approx(max(1, statistics.mean(outputs) + statistics.pstdev(outputs)), abs=1.01)


@pytest.mark.parametrize(("samples", "expected"), [(19, 5_000), (20, 100), (FADING, 100)])
def test_with_few_samples_the_usual_output_is_the_ceiling(samples: int, expected: int) -> None:
    assert alike(samples, 1.0).usual_output(5_000) == expected


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_halved_sums_do_not_make_a_negative_variance(outputs: list[int]) -> None:
    sums = learned([(1, 1, output) for output in outputs] * 30)
    found = []
    for _ in range(6):
        for name in ("estimated", "actual", "output", "squares"):
            setattr(sums, name, getattr(sums, name) // 2)
        sums.samples = max(20, sums.samples // 2)
        found.append(sums.usual_output(10**6))
    assert all(1 <= one <= 10**6 for one in found)
