"""What tokens cost: exact to the micro-dollar."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.completion import Usage
from extproc.exchange import Dialect
from extproc.price import PICO, TIERS, Bracket, Portions, Price, Worst, cost, portions, sourced, worst

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
    [
        "-1",
        "-0.000001",
        "0.0000000000001",
        "1.00000000000000000000000000000000000001",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
    ],
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
        (Dialect.ANTHROPIC, Usage(1, 2, cache_write=30, cache_write_1h=10), Portions(1, 0, 20, 2, 0, 10)),
        # The total was told last, or the part was.
        (Dialect.ANTHROPIC, Usage(1, 2, cache_write=30, cache_write_1h=40), Portions(1, 0, 0, 2, 0, 30)),
        (
            Dialect.OPENAI,
            Usage(100, 50, cached_input=30, reasoning=20, audio_input=40, audio_output=45),
            Portions(30, 30, 0, 5, 5, 0, 40, 45),
        ),
        # Some of the audio must have been cached.
        (Dialect.OPENAI, Usage(100, 0, cached_input=80, audio_input=40), Portions(0, 80, 0, 0, 0, 0, 20)),
        (Dialect.OPENAI, Usage(10, 5, audio_input=40, audio_output=40), Portions(0, audio_input=10, audio_output=5)),
        (Dialect.ANTHROPIC, Usage(1, 2, tool_calls=3), Portions(1, output=2, tool_calls=3)),
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
# Of tokens of each kind alone: a request is paid for each.
plain_rates = [rates] * 7
some_tokens = st.builds(Portions, *[counts] * 9)
plain = st.builds(Price, *plain_rates)
parts_of = st.sampled_from([1, 10, 10**6, 3])


def of_rates(values: list[int], per: int) -> Price:
    return replace(Price(0, 0, 0, 0, per=per), **dict(zip(Price.__struct_fields__, values, strict=False)))


@st.composite
def prices(draw: st.DrawFn, *, tiers: bool = True, rising: bool = False) -> Price:
    """Prices with brackets and tiers; `rising`: what is longer is not cheaper."""
    per = draw(parts_of)
    least = [draw(rates) for _ in range(9)]
    brackets = []
    for above in sorted(draw(st.sets(st.integers(0, 2 * 10**9), max_size=3))):
        of_bracket = [rate + draw(rates) for rate in least] if rising else [draw(rates) for _ in range(9)]
        if rising:
            least = of_bracket
        brackets.append(Bracket(above, of_rates(of_bracket, per)))
    first = [draw(rates) for _ in range(9)]
    if rising and brackets:
        lowest = brackets[0].price
        first = [draw(st.integers(0, getattr(lowest, name))) for name in Price.__struct_fields__[:9]]
    named = draw(st.sets(st.sampled_from(TIERS))) if tiers else set()
    others = {name: draw(prices(tiers=False, rising=rising)) for name in named}
    return replace(of_rates(first, per), brackets=tuple(brackets), tiers=others)


def exactly(tokens: Portions, price: Price) -> Fraction:
    """Micro-dollars, without brackets."""
    kinds = [name for name in Portions.__struct_fields__ if name not in ("reasoning", "tool_calls")]
    whole = sum(getattr(tokens, name) * getattr(price, name) for name in kinds)
    return Fraction(whole + tokens.tool_calls * price.tool_call + price.request, PICO * price.per)


@given(some_tokens, st.builds(Price, *[rates] * 9, per=parts_of))
def test_it_is_rounded_once(tokens: Portions, price: Price) -> None:
    assert abs(cost(tokens, price) - exactly(tokens, price)) <= Fraction(1, 2)


@given(some_tokens, prices(), st.sampled_from(["", "default", "batch", "flex", "priority", "fast", "x"]))
def test_a_request_is_charged_at_one_price_for_all_of_it(tokens: Portions, price: Price, tier: str) -> None:
    of_tier = price.tiers.get("priority" if tier == "fast" else tier, price)
    reached = [one.price for one in of_tier.brackets if tokens.taken > one.above]
    assert abs(cost(tokens, price, tier) - exactly(tokens, [of_tier, *reached][-1])) <= Fraction(1, 2)


@given(st.lists(some_tokens, max_size=8), plain)
def test_a_sum_costs_what_its_parts_cost_to_half_a_micro_dollar_each(parts: list[Portions], price: Price) -> None:
    whole = Portions(*(sum(getattr(part, name) for part in parts) for name in Portions.__struct_fields__))
    apart = sum(cost(part, price) for part in parts)
    # Half for each part, and half for the whole, which is rounded as well.
    assert 2 * abs(cost(whole, price) - apart) <= len(parts) + 1


@given(some_tokens, st.sampled_from(Portions.__struct_fields__), counts, prices(tiers=False, rising=True))
def test_more_of_anything_never_costs_less(tokens: Portions, kind: str, more: int, price: Price) -> None:
    grown = replace(tokens, **{kind: getattr(tokens, kind) + more})
    assert cost(grown, price) >= cost(tokens, price)


@st.composite
def uses(draw: st.DrawFn, most_input: int, most_output: int, searches: int) -> Portions:
    """What a request may turn out to have used within its reservation."""
    cuts = sorted(draw(st.lists(st.integers(0, most_input), min_size=5, max_size=5)))
    taken = [later - earlier for earlier, later in zip([0, *cuts], cuts, strict=False)]
    output = draw(st.integers(0, most_output))
    said = draw(st.integers(0, output))
    text = output - said
    reasoning = draw(st.integers(0, text))
    calls = draw(st.integers(0, searches))
    return Portions(taken[0], taken[1], taken[2], text, reasoning, taken[3], taken[4], said, calls)


# What the answer may name, by what the request asks for.
SERVED = {
    **dict.fromkeys(("", "auto", "scale"), ("", "default", "standard", "batch", "flex", "priority", "fast", "scale")),
    **dict.fromkeys(("default", "standard_only"), ("", "default", "standard")),
    **{name: ("", "default", name) for name in TIERS},
    "fast": ("", "default", "fast", "priority"),
}


@given(st.data(), prices(), counts, counts, st.integers(0, 100), st.sampled_from(sorted(SERVED)))
def test_what_is_reserved_is_never_less_than_what_it_turns_out_to_cost(
    data: st.DataObject, price: Price, input: int, output: int, searches: int, asked: str
) -> None:
    used = data.draw(uses(input, output, searches))
    served = data.draw(st.sampled_from(SERVED[asked])) if asked not in TIERS or asked in price.tiers else asked
    for _ in range(2):
        # Also where it is remembered.
        most = worst(price, input, asked)
        fixed = -(-(input * most.input + most.request + searches * most.tool_call) // PICO)
        assert cost(used, price, served) <= fixed - (-output * most.output // PICO)


def test_the_worst_is_no_worse_than_it_can_be() -> None:
    cheap, dear = Price(1, 2, 3, 4), Price(10, 20, 30, 40, request=7)
    price = Price(1, 2, 3, 4, brackets=(Bracket(100, Price(5, 5, 5, 5)),), tiers={"priority": dear, "flex": cheap})
    assert worst(price, 100, "default") == worst(price, 100, "flex") == Worst(4, 2)
    assert worst(price, 101, "default") == Worst(5, 5)
    assert worst(price, 100) == worst(price, 100, "fast") == worst(price, 1, "priority") == Worst(40, 20, 7)
    # A part of a picodollar counts as a whole one.
    assert worst(Price(7, 8, 0, 0, request=9, tool_call=11, per=10), 1) == Worst(1, 1, 1, 2)
    # What clients write there is not remembered.
    for number in range(1_000):
        worst(price, 5, f"tier-{number}")
    assert len(price.worsts) <= 8


def test_what_is_left_out_is_filled_in() -> None:
    assert Price(1, 2, 3, 4) == Price(1, 2, 3, 4, 4, 1, 2, 0, 0)
    assert sourced(Price(1, 2, 3, 4, tiers={"flex": Price(0, 0, 0, 0)}), "here").of_tier("flex").source == "here/flex"


@given(st.decimals(0, 1_000_000, places=12), counts)
def test_it_agrees_with_decimal_arithmetic(dollars: Decimal, tokens: int) -> None:
    price = Price.per_million(input=dollars, output=Decimal(0))
    expected = (dollars * tokens).quantize(Decimal(1), ROUND_HALF_UP)
    assert cost(Portions(tokens), price) == int(expected)
