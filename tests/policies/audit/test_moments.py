"""Times and amounts as records have them: exact, of one form, and read back as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.moments import dollars, micro_dollars, moment, parsed
from policies.audit.record import Moment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Until 2005 a float of seconds holds microseconds with room to spare, and until 2100 nearly so.
EXACT = 1 << 50
MICROS = st.integers(0, EXACT) | st.integers(0, 4_102_444_800_000_000)
AMOUNTS = st.integers(-(10**18), 10**18)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_225_600.5, "2026-01-01T00:00:00.500000Z"),
        (1_767_225_599.9999996, "2026-01-01T00:00:00.000000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
        (0.000001, "1970-01-01T00:00:00.000001Z"),
    ],
)
def test_moments(seconds: float, text: str) -> None:
    assert moment(seconds) == text


@given(MICROS)
def test_a_moment_has_one_form_and_is_read_back(micros: int) -> None:
    seconds = micros / 1_000_000
    text = moment(seconds)
    msgspec.json.decode(msgspec.json.encode(text), type=Moment)
    off = parsed(text) - (EPOCH + timedelta(microseconds=micros))
    assert abs(off) <= timedelta(microseconds=0 if micros <= EXACT else 1)


@given(st.lists(MICROS, min_size=2, max_size=2).map(sorted))
def test_texts_are_in_the_order_of_their_times(micros: list[int]) -> None:
    """Whoever sorts lines sorts times."""
    first, second = (moment(value / 1_000_000) for value in micros)
    assert first <= second


@pytest.mark.parametrize("text", ["", "2026-01-01", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00.000000Z", "now"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not match|unconverted"):
        parsed(text)


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.000000"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (4_500, "0.004500"),
        (1_000_000, "1.000000"),
        (-12_345_678, "-12.345678"),
        (10**15, "1000000000.000000"),
    ],
)
def test_dollars(micro: int, text: str) -> None:
    assert dollars(micro) == text
    assert micro_dollars(text) == micro


@given(AMOUNTS)
def test_dollars_are_exact_and_read_back(micro: int) -> None:
    assert micro_dollars(dollars(micro)) == micro
    assert Decimal(dollars(micro)) * 1_000_000 == micro


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.5", "1.0000000", ".000000", "-.000000", "--1.000000", "1.00000x", "x.000000", "1e3.000000", " 1.000000"],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="six decimals"):
        micro_dollars(text)
