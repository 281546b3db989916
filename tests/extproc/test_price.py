"""What tokens cost: exact to the micro-dollar."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.completion import Usage
from extproc.exchange import Dialect
from extproc.price import PICO, Portions, Price, cost, portions

GPT = Price.per_million(input=Decimal("2.50"), output=Decimal(10), cached_input=Decimal("1.25"))


@pytest.mark.parametrize(
    ("dollars", "picodollars"),
    [
        ("0", 0),
        ("-0", 0),
        ("0.000001", 1),
        ("0.075", 75_000),
        ("2.5", 2_500_000),
        ("2.500000", 2_500_000),
        ("1e-3", 1_000),
        ("1E+2", 100_000_000),
        ("1000000", 10**12),
        ("123456789012345678901234567890.123456", 123456789012345678901234567890123456),
    ],
)
def test_a_price_is_held_exactly(dollars: str, picodollars: int) -> None:
    price = Price.per_million(input=Decimal(dollars), output=Decimal(1))
    assert price == Price(picodollars, PICO, picodollars, picodollars)


@pytest.mark.parametrize(
    "dollars",
    ["-1", "-0.000001", "0.0000000000001", "1.00000000000000000000000000000000000001", "NaN", "sNaN", "Infinity", "-Infinity"],
)
def test_what_is_no_price(dollars: str) -> None:
    with pytest.raises(ValueError, match="at most 12 decimals"):
        Price.per_million(input=Decimal(1), output=Decimal(dollars))


def test_what_is_not_said_costs_what_input_costs() -> None:
    whole = Price.per_million(input=Decimal(1), output=Decimal(2), cached_input=Decimal(3), cache_write=Decimal(4))
    assert whole == Price(PICO, 2 * PICO, 3 * PICO, 4 * PICO)
    assert (GPT.input, GPT.output, GPT.cached_input, GPT.cache_write) == (2_500_000, 10_000_000, 1_250_000, 2_500_000)


@pytest.mark.parametrize(
    ("dialect", "usage", "expected"),
    [
        (Dialect.OPENAI, Usage(100, 20), Portions(100, 0, 0, 20)),
        (Dialect.OPENAI, Usage(100, 20, cached_input=60), Portions(40, 60, 0, 20)),
        (Dialect.OPENAI, Usage(100, 20, cached_input=60, cache_write=30), Portions(10, 60, 30, 20)),
        (Dialect.OPENAI, Usage(10, 20, cached_input=60), Portions(0, 60, 0, 20)),
        (Dialect.ANTHROPIC, Usage(100, 20, cached_input=60, cache_write=30), Portions(100, 60, 30, 20)),
        (Dialect.OPENAI, Usage(1, 20, reasoning=15), Portions(1, 0, 0, 20, 15)),
        (Dialect.OPENAI, Usage(1, 20, reasoning=25), Portions(1, 0, 0, 20, 20)),
        (Dialect.OPENAI, Usage(), Portions()),
    ],
)
def test_no_token_stands_in_two_portions(dialect: Dialect, usage: Usage, expected: Portions) -> None:
    assert portions(usage, dialect) == expected


@pytest.mark.parametrize(
    ("tokens", "price", "micro_dollars"),
    [
        (Portions(), GPT, 0),
        (Portions(1), GPT, 3),
        (Portions(1), Price(499_999, 0, 0, 0), 0),
        (Portions(1), Price(500_000, 0, 0, 0), 1),
        (Portions(1_000_000), GPT, 2_500_000),
        (Portions(1000, 1000, 1000, 1000), GPT, 2500 + 1250 + 2500 + 10_000),
        (Portions(output=1000, reasoning=400), GPT, 10_000),
        (Portions(1, 1, 1, 1), Price(100_000, 200_000, 100_000, 100_000), 1),
    ],
)
def test_what_tokens_cost(tokens: Portions, price: Price, micro_dollars: int) -> None:
    assert cost(tokens, price) == micro_dollars


counts = st.integers(0, 10**9)
rates = st.integers(0, 10**12)
some_tokens = st.builds(Portions, counts, counts, counts, counts, counts)
prices = st.builds(Price, rates, rates, rates, rates)


@given(some_tokens, prices)
def test_it_is_rounded_once(tokens: Portions, price: Price) -> None:
    pairs = ((tokens.input, price.input), (tokens.output, price.output))
    more = ((tokens.cached_input, price.cached_input), (tokens.cache_write, price.cache_write))
    exact = sum((Fraction(count * rate, PICO) for count, rate in (*pairs, *more)), Fraction(0))
    assert abs(cost(tokens, price) - exact) <= Fraction(1, 2)


@given(st.lists(some_tokens, max_size=8), prices)
def test_a_sum_costs_what_its_parts_cost_to_half_a_micro_dollar_each(parts: list[Portions], price: Price) -> None:
    whole = Portions(*(sum(getattr(part, name) for part in parts) for name in Portions.__struct_fields__))
    apart = sum(cost(part, price) for part in parts)
    # Half for each part, and half for the whole, which is rounded as well.
    assert 2 * abs(cost(whole, price) - apart) <= len(parts) + 1


@given(st.decimals(0, 1_000_000, places=6), counts)
def test_it_agrees_with_decimal_arithmetic(dollars: Decimal, tokens: int) -> None:
    price = Price.per_million(input=dollars, output=Decimal(0))
    expected = (dollars * tokens).quantize(Decimal(1), ROUND_HALF_UP)
    assert cost(Portions(tokens), price) == int(expected)
