from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cost.reporting.invoices import (
    FINEST,
    Billed,
    InvoiceError,
    Line,
    amount,
    collected,
    day,
    decimal,
    micro,
    model_name,
    whole,
)

DOLLAR = 10**FINEST


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.8958740000000000", 895_874 * 10**18),
        ("0.000004500000000000000000000000000000000", 45 * 10**17),
        ("0E-6176", 0),
        ("1.5e-7", 15 * 10**16),
        (" -12.5 ", -125 * 10**23),
        (".5", 5 * 10**23),
        ("1E-9999", 0),
        ("999999999999999", 999_999_999_999_999 * DOLLAR),
    ],
)
def test_amounts(text: str, found: int) -> None:
    assert amount(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "NaN", "Infinity", "=1+1", "$5", "1,234.5", "1.234,5", "0x10", "1_000", "1e", "١", "12 000"),
        *("9" * 19, "1e99999", "1e999999", "1" + "0" * 16, "--1", "1.2.3", "\x001"),
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        amount(text)


def test_another_currency() -> None:
    assert amount("10", Decimal("1.08")) == 108 * 10**23


@given(st.lists(st.decimals(-(10**9), 10**9, places=20), max_size=10))
def test_sums_are_exact(values: list[Decimal]) -> None:
    assert Fraction(sum(amount(f"{value:f}") for value in values), DOLLAR) == sum(map(Fraction, values))


def test_rounding_is_half_up_and_once() -> None:
    assert [micro(n * 10**17) for n in (4, 5, 14, 15, -4, -5, -6)] == [0, 1, 1, 2, 0, 0, -1]
    third = Billed()
    for _ in range(3):
        third.add(Line("2026-11-01", "m", "input", "m", "", 4 * 10**17))
    # Each alone would be nothing; together they are 1.2 micro-dollars.
    assert third.micro == 1


def test_days() -> None:
    assert day(date(2026, 11, 2)) == "2026-11-02"
    with pytest.raises(ValueError, match="the year 1970"):
        day(date(1970, 1, 1))


def test_counts() -> None:
    assert [whole(text) for text in ("10.0", "10", "", "1e3")] == [10, 10, 0, 1_000]
    for text in ("1.5", "-1", "many"):
        with pytest.raises(ValueError, match="expected a"):
            whole(text)
    assert decimal("2.50") == Decimal("2.5")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        (" GPT-4o ", "gpt-4o"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("gpt-35-turbo", "gpt-3.5-turbo"),
        ("gpt-4.1", "gpt-4.1"),
        ("-2024-07-18", "-2024-07-18"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("", ""),
    ],
)
def test_models_are_called_alike(name: str, found: str) -> None:
    assert model_name(name) == found


def test_lines_are_added_up() -> None:
    lines: list[Line | tuple[str, int]] = [
        Line("2026-11-02", "meter", "input", "Meter Inp", "", DOLLAR, {"input": 5}),
        Line("2026-11-02", "gpt-5", "output", "gpt-5, output", "batch", 2 * DOLLAR, {"output": 7}, 3),
        Line("2026-11-01", "gpt-5", "", "gpt-5", "", None, {"input": 1}, 4),
        ("other services", DOLLAR),
        ("other services", -3 * DOLLAR),
    ]
    found = collected("azure", "x", lines, {"meter": "gpt-5"})
    assert found.days == ("2026-11-01", "2026-11-02")
    assert found.by_model
    assert found.aside == {"other services": -2 * DOLLAR}
    assert found.billed == {
        ("2026-11-02", "gpt-5"): Billed(3 * DOLLAR, {"input": 5, "output": 7}, 3, {"input", "output"}, {"batch"}),
        ("2026-11-01", "gpt-5"): Billed(None, {"input": 1}, 4),
    }


def test_an_invoice_of_nothing() -> None:
    with pytest.raises(InvoiceError, match=r"no line of it is of a model \(costs of x\)"):
        _ = collected("azure", "costs of x", [("other services", 1)], {}).days
