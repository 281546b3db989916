"""What is reserved is never less than what can be used, and hardly more."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.actuals import Actual, Basis
from extproc.price import PICO, Bracket, Portions, Price, cost
from policies.limits.demands import Scale, Size, charged, demands, in_units, within_rates
from policies.limits.limit import KINDS, Limit, Measure, OutputReserve, Window
from policies.limits.settings import Weights
from policies.limits.store import Demand, Used
from tests.policies.limits.world import demand, limit

PLAIN = Scale.of(Weights())
PRICE = Price.per_million(input=Decimal("2.5"), output=Decimal(10), cached_input=Decimal("1.25"), cache_write=Decimal(3))
RICH = Price.per_million(
    input=Decimal(1),
    output=Decimal(4),
    request=Decimal("0.005"),
    tool_call=Decimal("0.01"),
    brackets=[Bracket(500, Price(3_000_000, 6_000_000, 0, 0, request=5_000_000_000, tool_call=10_000_000_000))],
    tiers={"priority": Price(2_000_000, 8_000_000, 0, 0, request=5_000_000_000, tool_call=10_000_000_000)},
)
RPM, TPM, TPD = limit(amount=60), limit("tokens_per_minute", 1_000), limit("tokens_per_day", 9_000, "contoso")
DOLLARS, PARALLEL = limit("dollars_per_month", 5_000_000, "contoso"), limit("parallel_requests", 3)
WEIGHTED = Scale.of(Weights(input=0.5, cached_input=0.1, cache_write=1.25, output=4, reasoning=2))


@pytest.mark.parametrize(
    ("of", "size", "scale", "reserved"),
    [
        # Reserved with an output of 0, 1 and 1,000 tokens granted.
        (RPM, Size(500, 1_000), PLAIN, (1, 1, 1)),
        (PARALLEL, Size(500, 1_000), PLAIN, (1, 1, 1)),
        (TPM, Size(500, 1_000), PLAIN, (500, 501, 1_500)),
        (TPM, Size(500, 1_000, choices=3), PLAIN, (500, 503, 3_500)),
        (TPM, Size(500, 0), PLAIN, (500, 500, 500)),
        (TPM, Size(), PLAIN, (0, 0, 0)),
        # Whatever kind of tokens they turn out to be: the input may all be cache writes, the output all no reasoning.
        (TPM, Size(500, 1_000), WEIGHTED, (625, 629, 4_625)),
        (TPM, Size(501, 1_000), WEIGHTED, (627, 631, 4_627)),
        (
            TPM,
            Size(3, 1_000),
            Scale.of(Weights(input=0.001, cached_input=0, cache_write=0, output=0.0015)),
            (1, 2, 1_001),
        ),
        # Micro-dollars: the dearest input is a cache write, at 3 dollars a million.
        (DOLLARS, Size(500, 1_000, price=PRICE), PLAIN, (1_500, 1_510, 11_500)),
        (DOLLARS, Size(500, 1_000, 2, PRICE), WEIGHTED, (1_500, 1_520, 21_500)),
        (DOLLARS, Size(500, 0, price=PRICE), PLAIN, (1_500, 1_500, 1_500)),
        (DOLLARS, Size(1, 1_000, price=Price(1, 1, 1, 1)), PLAIN, (1, 2, 2)),
        # A request for half a cent, up to three searches for one each; in the dearest tier; above the step.
        (DOLLARS, Size(500, 1_000, price=RICH), PLAIN, (1_000 + 5_000, 6_008, 6_000 + 8_000)),
        (DOLLARS, Size(500, 1_000, price=RICH, searches=3), PLAIN, (36_000, 36_008, 44_000)),
        (DOLLARS, Size(500, 1_000, price=RICH, tier="default"), PLAIN, (5_500, 5_504, 9_500)),
        (DOLLARS, Size(501, 1_000, price=RICH, tier="default"), PLAIN, (1_503 + 5_000, 6_509, 12_503)),
    ],
)
def test_what_is_reserved(of: Limit, size: Size, scale: Scale, reserved: tuple[int, int, int]) -> None:
    [asked] = demands([of], size, scale)
    assert tuple(asked.reserved(output) for output in (0, 1, 1_000)) == reserved


def test_demands_stand_in_the_order_of_their_limits() -> None:
    limits = (DOLLARS, TPM, RPM, TPD, PARALLEL)
    priced = demands(limits, Size(10, 10, price=PRICE), PLAIN)
    assert [(one.key, one.counter) for one in priced] == [(of.key, of.rule.kind.counter) for of in limits]
    unpriced = demands(limits, Size(10, 10), PLAIN)
    assert [one.counter for one in unpriced] == [one.counter for one in priced]
    # What has no price costs nothing; the limit is asked all the same, for it may be 0.
    assert [(one.fixed, one.per_output) for one in unpriced if one.measure is Measure.DOLLARS] == [(0, 0)]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize("output", [0, 100])
def test_a_demand_is_of_its_limit(kind: str, shadow: bool, output: int) -> None:
    of = limit(kind, 77, "contoso/app=x", shadow=shadow, reserve=OutputReserve.EXPECTED, seconds=120)
    [asked] = demands([of], Size(10, output, price=PRICE), PLAIN)
    assert (asked.key, asked.counter, asked.measure, asked.window) == (of.key, of.rule.kind.counter, *of.rule.kind[1:3])
    assert (asked.amount, asked.shadow, asked.seconds) == (77, shadow, 120)
    # Budgets clamp. What is usual is reserved only where there is output to speak of.
    assert asked.clamps == (of.rule.kind.window in (Window.DAY, Window.MONTH))
    has_output = of.rule.kind.measure in (Measure.TOKENS, Measure.DOLLARS) and output > 0
    assert asked.expected == has_output
    assert (asked.per_output > 0) == has_output


WEIGHTS = st.integers(0, 100 * PICO)
SCALES = st.builds(Scale, WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS)
TOKENS = st.integers(0, 10**7)
PRICES = st.builds(Price, *[st.integers(0, 10**9)] * 9)
SIZES = st.builds(Size, TOKENS, TOKENS, st.integers(1, 128), PRICES)


@given(SIZES, SCALES, st.data())
def test_the_need_is_covered_and_rounded_up_once_for_input_and_once_for_output(
    size: Size, scale: Scale, data: st.DataObject
) -> None:
    granted = data.draw(st.integers(0, size.output))
    price = size.price
    assert price is not None
    inputs = (price.input, price.cached_input, price.cache_write, price.cache_write_1h, price.audio_input)
    dearest = size.input * max(inputs) + price.request
    outputs = max(price.output, price.audio_output)
    needs = (
        (Fraction(size.input * scale.most_input, PICO), Fraction(granted * size.choices * scale.most_output, PICO)),
        (Fraction(dearest, PICO), Fraction(granted * size.choices * outputs, PICO)),
    )
    for asked, (of_input, of_output) in zip(demands((TPM, DOLLARS), size, scale), needs, strict=True):
        assert asked.reserved(granted) == ceil(of_input) + ceil(of_output)
        assert of_input + of_output <= asked.reserved(granted) < of_input + of_output + 2


@st.composite
def uses(draw: st.DrawFn, size: Size, granted: int) -> Portions:
    """What an exchange of this size may turn out to have used."""
    plain = draw(st.integers(0, size.input))
    cached = draw(st.integers(0, size.input - plain))
    output = draw(st.integers(0, granted * size.choices))
    return Portions(plain, cached, size.input - plain - cached, output, draw(st.integers(0, output)))


@given(SIZES, SCALES, st.data())
def test_no_use_within_the_size_exceeds_what_is_reserved(size: Size, scale: Scale, data: st.DataObject) -> None:
    granted = data.draw(st.integers(0, size.output))
    used = data.draw(uses(size, granted))
    tokens, dollars = demands((TPM, DOLLARS), size, scale)
    assert size.price is not None
    assert scale.weigh(used) <= tokens.reserved(granted)
    assert cost(used, size.price) <= dollars.reserved(granted)


@given(SCALES, st.builds(Portions, TOKENS, TOKENS, TOKENS, TOKENS))
def test_weighing_rounds_up_once(scale: Scale, tokens: Portions) -> None:
    weights = (scale.input, scale.cached_input, scale.cache_write, scale.output)
    counts = (tokens.input, tokens.cached_input, tokens.cache_write, tokens.output)
    exact = sum((Fraction(count * weight, PICO) for count, weight in zip(counts, weights, strict=True)), Fraction())
    assert scale.weigh(tokens) == ceil(exact)


def test_reasoning_has_a_weight_of_its_own_within_the_output() -> None:
    assert WEIGHTED.weigh(Portions(output=100)) == 400
    assert WEIGHTED.weigh(Portions(output=100, reasoning=100)) == 200
    assert WEIGHTED.weigh(Portions(10, 10, 10, 10, 5)) == 49  # 5 + 1 + 12.5 + 20 + 10, rounded up


def test_weights_are_held_in_millionths() -> None:
    assert Scale.of(Weights(input=0.000001, cached_input=0.1, cache_write=100, output=0, reasoning=0.3)) == Scale(
        1, 100_000, 100_000_000, 0, 300_000
    )
    assert Scale(PICO, PICO, PICO, PICO, PICO) == PLAIN


@pytest.mark.parametrize(
    ("asked", "output", "fits"),
    [
        ([], 4_096, 4_096),
        ([demand(TPM, 100, PICO)], 4_096, 900),
        ([demand(TPM, 100, PICO)], 900, 900),
        ([demand(TPM, 100, PICO)], 899, 899),
        ([demand(TPM, 100, 3 * PICO)], 4_096, 300),
        ([demand(TPM, 100, 7 * PICO)], 4_096, 128),
        # The tightest of several.
        ([demand(TPM, 100, PICO), demand(limit("tokens_per_minute", 500), 100, PICO)], 4_096, 400),
        ([demand(limit("tokens_per_minute", 500), 100, PICO), demand(TPM, 100, PICO)], 4_096, 400),
        # The floor fits just so, or not: then it is left to be refused.
        ([demand(TPM, 984, PICO)], 4_096, 16),
        ([demand(TPM, 985, PICO)], 4_096, 4_096),
        ([demand(TPM, 2_000, PICO)], 4_096, 4_096),
        ([demand(TPM, 990, PICO)], 10, 10),
        ([demand(TPM, 990, PICO), demand(TPM, 100, PICO)], 4_096, 900),
        # Not by budgets, which clamp where they are counted; not by what is usual; not in shadow; not without output.
        ([demand(TPD, 100, PICO)], 100_000, 100_000),
        ([demand(TPM, 100, PICO, expected=True)], 4_096, 4_096),
        ([demand(TPM, 100, PICO, shadow=True)], 4_096, 4_096),
        ([demand(RPM, 1, 0), demand(PARALLEL, 1, 0)], 4_096, 4_096),
        ([demand(TPM, 100, PICO)], 0, 0),
    ],
)
def test_what_output_fits_under_the_rates(asked: list[Demand], output: int, fits: int) -> None:
    assert within_rates(asked, output, 16) == fits


RATES = st.lists(
    st.builds(
        lambda amount, fixed, per_output: demand(limit("tokens_per_minute", amount), fixed, per_output),
        st.integers(0, 5_000),
        st.integers(0, 5_000),
        st.integers(0, 5 * PICO),
    ),
    max_size=4,
)


@given(RATES, st.integers(0, 10_000), st.integers(1, 100))
def test_the_output_is_the_most_that_every_rate_admits_that_admits_any(
    asked: list[Demand], output: int, floor: int
) -> None:
    found = within_rates(asked, output, floor)
    assert min(floor, output) <= found <= output
    admitting = [one for one in asked if one.reserved(min(floor, output)) <= one.amount]
    assert all(one.reserved(found) <= one.amount for one in admitting)
    if found < output:
        assert any(one.reserved(found + 1) > one.amount for one in admitting)


ANOTHER = Price.per_million(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"))
HEAVY = Scale.of(Weights(input=1, cached_input=0.1, output=4, reasoning=2))


@pytest.mark.parametrize(
    ("found", "price", "used"),
    [
        (Actual(Portions(), 0, Basis.NOTHING), ANOTHER, Used()),
        (Actual(Portions(), 1, Basis.NOTHING), ANOTHER, Used(1)),
        (Actual(Portions(100, output=10), 1, Basis.METERED), ANOTHER, Used(1, 140, 450)),
        (
            Actual(Portions(40, 55, 0, 30, 10), 1, Basis.METERED),
            ANOTHER,
            Used(1, 146, 587),
        ),  # 145.5 tokens, 586.5 micro-dollars
        (Actual(Portions(100, output=10), 1, Basis.METERED), None, Used(1, 140, 0)),
        (Actual(Portions(100, output=10), 1, Basis.METERED, "priority"), RICH, Used(1, 140, 5_280)),
        # Writes for an hour weigh as writes, audio as text.
        (Actual(Portions(1, 0, 0, 1, 0, 10, 100, 1_000), 1, Basis.METERED), ANOTHER, Used(1, 4_115, 15_348)),
        # No answer, no fee; all that was reserved, whatever tier it was.
        (Actual(Portions(), 1, Basis.NOTHING), RICH, Used(1)),
        (Actual(Portions(100, output=10), 1, Basis.ESTIMATE, reserved=6_100), RICH, Used(1, 140, 6_100)),
    ],
)
def test_in_the_units_of_the_counters(found: Actual, price: Price | None, used: Used) -> None:
    assert in_units(found, HEAVY, price) == used


@given(TOKENS, TOKENS, st.integers(1, 8), st.floats(0, 1), SCALES, PRICES)
def test_what_nobody_counted_is_never_more_than_was_reserved(
    tokens: int, output: int, choices: int, seen: float, scale: Scale, price: Price
) -> None:
    size = Size(tokens, output, choices, price)
    reserved = [
        asked.reserved(output)
        for asked in demands((limit(), limit("tokens_per_day"), limit("dollars_per_day")), size, scale)
    ]
    assert charged(size, output, scale) == (reserved[1], reserved[2])
    # What nobody counted is at most its input and the whole of its output.
    found = in_units(Actual(Portions(tokens, output=int(seen * output * choices)), 1, Basis.CHUNKS), scale, price)
    assert (found.requests, found.tokens <= reserved[1], found.dollars <= reserved[2]) == (reserved[0], True, True)
