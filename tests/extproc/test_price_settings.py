"""What the configuration says of a price: exact, in brackets and tiers, and what is wrong with it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from extproc.mistakes import describe
from extproc.price import Bracket, Portions, Price, cost
from extproc.price_settings import PriceEntry, dollars
from extproc.strict_yaml import read


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        ("0", "0"),
        ("10", "10"),
        ("2.50", "2.5"),
        ("0.075", "0.075"),
        ("'0.075'", "0.075"),
        ("0.1", "0.1"),
        ("0.000001", "0.000001"),
        ("0.00001", "0.00001"),
        ("0.0375", "0.0375"),
        ("'0.123456789012'", "0.123456789012"),
        ("1000000", "1000000"),
        ("'2.500000'", "2.5"),
        ("1e-3", "0.001"),
    ],
)
def test_a_price_is_what_stands_in_the_file(written: str, exact: str) -> None:
    assert dollars(read(written)) == Decimal(exact)


@pytest.mark.parametrize(
    "value",
    [
        *(
            -1,
            -0.5,
            1_000_000.000001,
            10**9,
            0.0000000000001,
            "0.0000000000001",
            "-1",
            "nan",
            "sNaN",
            "inf",
            "",
            "x",
            "1,5",
            "1_000",
            " 1",
            "\u0661",
            "$1",
        ),
        *(float("nan"), float("inf"), True, None, [], {}, "1e999999999", "1e-999999999", "9" * 10_000, 10**5000),
    ],
    ids=lambda value: str(type(value)) if isinstance(value, int) else str(value)[:12],
)
def test_what_is_no_price(value: object) -> None:
    with pytest.raises(ValueError, match="US dollars per million tokens"):
        dollars(value)


@given(st.decimals(0, 1_000_000, places=6))
def test_a_number_and_the_same_in_quotes_are_the_same_price(amount: Decimal) -> None:
    # Beyond 15 digits two decimals may be one float; a price has 13 at most.
    assert dollars(float(amount)) == dollars(str(amount)) == amount
    assert dollars(yaml.safe_load(yaml.safe_dump(float(amount)))) == amount


def price(text: str, factor: Fraction = Fraction(1)) -> Price:
    return PriceEntry.model_validate(read(text)).price(factor)


def per_million(**said: str) -> Price:
    return Price.per_million(**{name: Decimal(amount) for name, amount in said.items()})  # type: ignore[arg-type]


def test_what_is_left_out_is_filled_in() -> None:
    assert price("{input: 2, output: 8}") == Price(2_000_000, 8_000_000, 2_000_000, 2_000_000)
    most = price(
        "{input: 1, output: 2, cached_input: 3, cache_write: 4, cache_write_1h: 5, audio_input: 6, audio_output: 7,"
        " request: 0.005, tool_call: 0.01}"
    )
    # A request at half a cent is 5,000 micro-dollars.
    assert (most.request, most.tool_call) == (5_000_000_000, 10_000_000_000)
    assert (most.cache_write_1h, most.audio_input, most.audio_output) == (5_000_000, 6_000_000, 7_000_000)


def test_brackets_are_in_order_and_keep_the_price_of_requests() -> None:
    found = price(
        "{input: 1, output: 2, request: 1, brackets: [{above: 200, input: 4, output: 5}, {above: 100, input: 3,"
        " output: 4, request: 2}]}"
    )
    assert [one.above for one in found.brackets] == [100, 200]
    assert found.brackets == (
        Bracket(100, per_million(input="3", output="4", request="2")),
        Bracket(200, per_million(input="4", output="5", request="1")),
    )


def test_a_discount_is_on_tokens_in_every_bracket() -> None:
    found = price(
        "{input: 3, output: 15, tool_call: 0.01, brackets: [{above: 200000, input: 6, output: 22.5}],"
        " tiers: {batch: {discount: 50%}, flex: {discount: 33.25%}, priority: {input: 6, output: 30}}}"
    )
    batch = found.of_tier("batch")
    assert (batch.input, batch.output, batch.tool_call) == (1_500_000, 7_500_000, 10_000_000_000)
    assert batch.brackets == (Bracket(200_000, per_million(input="3", output="11.25", tool_call="0.01")),)
    # 3 less 33.25 % is 2.0025.
    assert found.of_tier("flex").input == 2_002_500
    # A tier with rates of its own has brackets of its own.
    assert found.of_tier("priority") == per_million(input="6", output="30", tool_call="0.01")


def test_nothing_is_rounded_whatever_the_factor() -> None:
    found = price("{input: 0.0375, output: '0.123456789012', tiers: {batch: {discount: 12.5%}}}", Fraction("1.083712"))
    # 0.0375 at 1.083712 is 0.0406392; for 10**12 tokens 40,639,200,000 micro-dollars.
    assert cost(Portions(10**9), found) == 40_639_200
    # 0.123456789012 at 1.083712, less an eighth: 0.117067126932...; of 10**12 tokens in micro-dollars.
    exact = Fraction("0.123456789012") * Fraction("1.083712") * Fraction(7, 8) * 10**12
    assert abs(cost(Portions(output=10**12), found, "batch") - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"brackets": [{"above": 0, "input": 1, "output": 1}]}, "brackets[0].above: expected at least 1 (found '0')"),
        ({"brackets": [{"above": 9}]}, "brackets[0].input: missing"),
        ({"brackets": [{"above": 9, "input": 1, "output": 1}] * 2}, "two brackets begin `above` the same number"),
        ({"tiers": {"scale": {"discount": "1%"}}}, "tiers.scale: expected batch, flex or priority"),
        ({"tiers": {"batch": {}}}, "tiers.batch: expected either `discount` or rates"),
        ({"tiers": {"batch": {"discount": "1%", "input": 1}}}, "tiers.batch: expected either `discount` or rates"),
        ({"tiers": {"batch": {"input": 1}}}, "tiers.batch: expected `input` and `output` among the rates"),
        ({"tiers": {"batch": {"discount": "100%"}}}, "tiers.batch.discount: expected a percentage such as 50%"),
        ({"tiers": {"batch": {"discount": 0.5}}}, "tiers.batch.discount: expected text (found '0.5')"),
        ({"request": -1}, "request: expected US dollars"),
        ({"audio": 1}, "audio: unknown key"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_mistake_and_its_path(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PriceEntry.model_validate({"input": 1, "output": 2, **changes})
    found = describe(caught.value, PriceEntry)
    assert any(line in one for one in found), found


def test_entries_are_immutable() -> None:
    entry = PriceEntry.model_validate({"input": 1, "output": 2})
    with pytest.raises(ValidationError):
        entry.input = Decimal(0)
