from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cost.reporting.money import dollars, exact, needed, rounded

MICRO = st.integers(-(10**20), 10**20)


@pytest.mark.parametrize(
    ("micro", "people", "programs", "axis"),
    [
        (0, "$0.00", "0.000000", "$0.00"),
        (1, "$0.000001", "0.000001", "$0.000001"),
        (10, "$0.00001", "0.000010", "$0.00001"),
        (500_000, "$0.50", "0.500000", "$0.50"),
        (1_234_500_000, "$1,234.50", "1234.500000", "$1,234.50"),
        (1_234_565_000, "$1,234.565", "1234.565000", "$1,234.57"),
        (-2_500, "-$0.0025", "-0.002500", "-$0.0025"),
        (-1_000_001, "-$1.000001", "-1.000001", "-$1.00"),
        (2**63, "$9,223,372,036,854.775808", "9223372036854.775808", "$9,223,372,036,854.78"),
    ],
)
def test_amounts(micro: int, people: str, programs: str, axis: str) -> None:
    assert (dollars(micro), exact(micro), rounded(micro)) == (people, programs, axis)


@given(MICRO, st.integers(2, 6))
def test_nothing_is_rounded(micro: int, places: int) -> None:
    def read(text: str) -> int:
        return int(Decimal(text.replace("$", "").replace(",", "")) * 1_000_000) if abs(micro) < 10**20 else micro

    assert read(dollars(micro, places)) == micro
    assert read(exact(micro)) == micro


@given(st.lists(MICRO, min_size=1))
def test_points_stand_under_each_other(amounts: list[int]) -> None:
    places = needed(amounts)
    assert {len(dollars(amount, places).partition(".")[2]) for amount in amounts} == {places}


def test_places() -> None:
    assert needed([]) == 2
    assert needed([None, 1_000_000]) == 2
    assert needed([100, 1_000_000]) == 4
