"""What an exchange asks of its limits: from limits, tokens and prices to demands. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from extproc.actuals import Actual, spent
from extproc.price import PICO, Portions, Price, worst
from policies.limits.limit import Limit, Measure
from policies.limits.settings import Weights
from policies.limits.store import Demand, Used

_REQUESTS, _TOKENS, _DOLLARS, _PARALLEL = Measure
"""By a name of their own: before Python 3.12 an enumeration takes ten times as long to say what its members are."""
_ONE: Final = (1, 0)


class Scale(msgspec.Struct, frozen=True):
    """What a token of each kind counts as, in millionths. `most_input` and `most_output` follow from the others: whatever
    kind it turns out to be."""

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    most_input: int = 0
    most_output: int = 0

    def __post_init__(self) -> None:
        force_setattr(self, "most_input", max(self.input, self.cached_input, self.cache_write))
        force_setattr(self, "most_output", max(self.output, self.reasoning))

    @classmethod
    def of(cls, weights: Weights) -> Scale:
        kinds = (weights.input, weights.cached_input, weights.cache_write, weights.output, weights.reasoning)
        return cls(*(round(weight * PICO) for weight in kinds))

    def weigh(self, tokens: Portions) -> int:
        """Weighted tokens, rounded up for the whole exchange. Audio weighs what text does."""
        exact = (
            (tokens.input + tokens.audio_input) * self.input
            + tokens.cached_input * self.cached_input
            + (tokens.cache_write + tokens.cache_write_1h) * self.cache_write
            + (tokens.output - tokens.reasoning + tokens.audio_output) * self.output
            + tokens.reasoning * self.reasoning
        )
        return -(-exact // PICO)


class Size(msgspec.Struct, frozen=True):
    """How large a call can be.

    Attributes:
        input: tokens.
        output: the most tokens of one answer; 0 where there is none.
        choices: how many answers are generated.
        price: of the model; None where it has none.
        tier: the service tier that is asked for; "" where none is.
        searches: the most searches that the provider may run itself.
        dollars: what follows from these: micro-dollars whatever the output is, rounded up; and picodollars for a token of
            output.
    """

    input: int = 0
    output: int = 0
    choices: int = 1
    price: Price | None = None
    tier: str = ""
    searches: int = 0
    dollars: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.price is not None:
            # What has no price costs nothing: only calls that use no tokens come here without one.
            most = worst(self.price, self.input, self.tier)
            whole = self.input * most.input + most.request + self.searches * most.tool_call
            force_setattr(self, "dollars", (-(-whole // PICO), most.output))


def demands(limits: Iterable[Limit], size: Size, scale: Scale) -> tuple[Demand, ...]:
    """A demand for each limit, in their order."""
    fixed_dollars, dollars_per_output = size.dollars
    choices = size.choices if size.output else 0
    amounts = {
        _REQUESTS: _ONE,
        _PARALLEL: _ONE,
        _TOKENS: (-(-size.input * scale.most_input // PICO), scale.most_output * choices),
        _DOLLARS: (fixed_dollars, dollars_per_output * choices),
    }
    asked = []
    for limit in limits:
        counter, measure, window, amount = limit.rule.head
        fixed, per_output = amounts[measure]
        clamps, expected, shadow, seconds, carries = limit.rule.tails[per_output > 0]
        asked.append(
            Demand(
                limit.key, counter, measure, window, amount, fixed, per_output, clamps, expected, shadow, seconds, carries
            )
        )
    return tuple(asked)


def charged(size: Size, output: int, scale: Scale) -> tuple[int, int | None]:
    """Weighted tokens and micro-dollars under limits that reserve the ceiling, where so much output is granted: what
    their counters hold if the exchange is never settled. No dollars where there is no price."""
    choices = size.choices if size.output else 0
    tokens = -(-size.input * scale.most_input // PICO) - (-output * scale.most_output * choices // PICO)
    if size.price is None:
        return tokens, None
    fixed, per_output = size.dollars
    return tokens, fixed - (-output * per_output * choices // PICO)


def in_units(found: Actual, scale: Scale, price: Price | None) -> Used:
    """What was used, in the units of the counters."""
    return Used(found.requests, scale.weigh(found.tokens), spent(found, price) or 0)


def within_rates(asked: Iterable[Demand], output: int, floor: int) -> int:
    """The output that fits under every rate as a whole: a call that asks for more than a minute's tokens would never be
    admitted, however long it waits. Left alone where not even the floor fits."""
    for demand in asked:
        if demand.per_output <= 0 or demand.clamps or demand.expected or demand.shadow:
            continue
        most = (demand.amount - demand.fixed) * PICO // demand.per_output
        if min(floor, output) <= most < output:
            output = most
    return output
