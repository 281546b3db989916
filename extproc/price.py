"""What tokens cost. Pure integers: a dollar amount is exact to the micro-dollar, and no float is ever added up.

A price is stated in US dollars per million tokens, as every provider's price list does; that is micro-dollars per token.
It is held in *picodollars per token* (a millionth of that), so that a price with six decimals is a whole number. A price
with more (0.0375 EUR at a fixed rate of 1.0837, or a half of it) is held in equal parts of a picodollar, `per` of them:
nothing is rounded before the whole exchange is, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Final, TypeAlias

import msgspec

from extproc.completion import Usage
from extproc.exchange import Dialect

PICO: Final = 1_000_000
"""Picodollars in a micro-dollar; and the unit in which weights of tokens are held."""
DECIMALS: Final = 12
"""How many decimals a price may be written with."""
CONFIGURED: Final = "configured"
"""The source of the price that stands beside a model in the configuration."""
FALLBACK: Final = "fallback"
"""The source of the price that is declared for models of which nothing else is known."""
TIERS: Final = ("batch", "flex", "priority")
"""Service tiers that have prices of their own. Any other tier costs what the ordinary one does."""
_ALSO: Final[Mapping[str, str]] = {"fast": "priority"}
"""Other words of providers for a tier."""
_ORDINARY: Final = frozenset({"default", "standard", "standard_only"})
"""A request that asks for one of these gets no other."""
_LIKE: Final = -1
"""In place of what is not said of a price."""

Amount: TypeAlias = Decimal | Fraction
"""Dollars, exactly."""


class Bracket(msgspec.Struct, frozen=True):
    """The price of a request whose whole input, cached or not, is above so many tokens: of all of its tokens."""

    above: int
    price: Price


class Price(msgspec.Struct, frozen=True, dict=True):
    """Picodollars per token, or that part of them which `per` says. Reasoning is output (every provider bills it so).

    What is left out is filled in when the price is made: nothing that is not said is cheaper than what it is a kind of.

    Attributes:
        cache_write: kept for five minutes, or for as long as the provider chooses.
        cache_write_1h: kept for an hour; else as `cache_write`.
        audio_input, audio_output: else as `input` and `output`.
        request, tool_call: of each request, and of each search that the provider runs itself.
        brackets: in ascending order.
        tiers: by the name of the tier, as in `TIERS`.
        source: which price it is, for the record: `configured`, `contract:acme`, `list:genai-prices 0.2.3`, `fallback`;
            that of a tier with the tier behind a slash.
        per: how many parts of a picodollar make one: 1 unless more than six decimals are needed.
    """

    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int = _LIKE
    audio_input: int = _LIKE
    audio_output: int = _LIKE
    request: int = 0
    tool_call: int = 0
    brackets: tuple[Bracket, ...] = ()
    tiers: Mapping[str, Price] = {}
    source: str = ""
    per: int = 1

    def __post_init__(self) -> None:
        for name, like in (("cache_write_1h", "cache_write"), ("audio_input", "input"), ("audio_output", "output")):
            if getattr(self, name) == _LIKE:
                msgspec.structs.force_setattr(self, name, getattr(self, like))

    @classmethod
    def per_million(
        cls,
        *,
        input: Amount,
        output: Amount,
        cached_input: Amount | None = None,
        cache_write: Amount | None = None,
        cache_write_1h: Amount | None = None,
        audio_input: Amount | None = None,
        audio_output: Amount | None = None,
        request: Amount = Decimal(0),
        tool_call: Amount = Decimal(0),
        brackets: Iterable[Bracket] = (),
        tiers: Mapping[str, Price] | None = None,
        source: str = "",
    ) -> Price:
        """From dollars per million tokens, and dollars for each request and tool call. What is not said of cached input
        and cache writes costs what input costs, unless a write for five minutes is dearer.

        Raises:
            ValueError: negative, or a decimal with more than twelve places.
        """
        plain = exact(input)
        write = plain if cache_write is None else exact(cache_write)
        amounts = (
            plain,
            exact(output),
            plain if cached_input is None else exact(cached_input),
            write,
            write if cache_write_1h is None else exact(cache_write_1h),
            plain if audio_input is None else exact(audio_input),
            exact(output if audio_output is None else audio_output),
            # Of one, not of a million.
            exact(request) * PICO,
            exact(tool_call) * PICO,
        )
        pico = [amount * PICO for amount in amounts]
        per = lcm(*(amount.denominator for amount in pico))
        ordered = tuple(sorted(brackets, key=lambda bracket: bracket.above))
        whole = [int(amount * per) for amount in pico]
        rates = dict(zip(cls.__struct_fields__, whole, strict=False))
        return cls(**rates, brackets=ordered, tiers=dict(tiers or {}), source=source, per=per)

    def of_tier(self, tier: str) -> Price:
        """The price of a request that was served in this tier, as the answer names it."""
        return self.tiers.get(_ALSO.get(tier, tier), self) if tier and self.tiers else self

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """The inputs, in tokens and ascending, above which some tier of it has another price."""
        prices = (self, *self.tiers.values())
        return tuple(sorted({bracket.above for price in prices for bracket in price.brackets}))

    @cached_property
    def worsts(self) -> dict[tuple[int, str], Worst]:
        """What `worst` has found before."""
        return {}


class Worst(msgspec.Struct, frozen=True):
    """The most that a token of input, a token of output, a request and a tool call can cost: picodollars, rounded up."""

    input: int
    output: int
    request: int = 0
    tool_call: int = 0


def sourced(price: Price, source: str) -> Price:
    """The same price, which says where it comes from; those of its tiers as well."""
    tiers = {name: sourced(tier, f"{source}/{name}") for name, tier in price.tiers.items()}
    return msgspec.structs.replace(price, source=source, tiers=tiers)


def exact(dollars: Amount) -> Fraction:
    """The same amount as a fraction.

    Raises:
        ValueError: negative, no number, or a decimal with more than twelve places.
    """
    wrong = f"expected a price in dollars, not below 0, with at most {DECIMALS} decimals"
    if isinstance(dollars, Decimal):
        exponent = dollars.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -DECIMALS:
            raise ValueError(wrong)
    if dollars < 0:
        raise ValueError(wrong)
    return Fraction(dollars)


class Portions(msgspec.Struct, frozen=True):
    """What is billed beside each other: no token stands in two of them. `reasoning` is a part of `output`.

    Attributes:
        cache_write: but for those that are kept for an hour, which are `cache_write_1h`.
        tool_calls: no tokens: searches that the provider ran itself.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    tool_calls: int = 0

    @property
    def taken(self) -> int:
        """All tokens of input."""
        return self.input + self.cached_input + self.cache_write + self.cache_write_1h + self.audio_input

    @property
    def made(self) -> int:
        """All tokens of output."""
        return self.output + self.audio_output

    @property
    def total(self) -> int:
        """All tokens."""
        return self.taken + self.made


def portions(usage: Usage, dialect: Dialect) -> Portions:
    """The portions of a usage: OpenAI counts cached tokens inside the input, Anthropic beside it.

    What is kept for an hour is a part of all that was written to the cache, whichever of the two was told last. What is
    said to be both audio and cached is not told apart by providers: as much is audio as can be, for it is dearer.
    """
    plain, cached, written = usage.input, usage.cached_input, usage.cache_write
    if (cached or written) and dialect is not Dialect.ANTHROPIC:
        plain = max(0, plain - cached - written)
    if not (usage.cache_write_1h or usage.audio_input or usage.audio_output or usage.tool_calls):
        return Portions(plain, cached, written, usage.output, min(usage.reasoning, usage.output))
    hour = min(usage.cache_write_1h, written)
    heard = min(usage.audio_input, plain)
    said = min(usage.audio_output, usage.output)
    text = usage.output - said
    reasoning = min(usage.reasoning, text)
    return Portions(plain - heard, cached, written - hour, text, reasoning, hour, heard, said, usage.tool_calls)


def cost(tokens: Portions, price: Price, tier: str = "") -> int:
    """Micro-dollars, rounded half up once, for the whole. `tier`: in which it was served, as the answer names it."""
    if tier and price.tiers:
        price = price.of_tier(tier)
    if price.brackets:
        taken = tokens.taken
        for bracket in reversed(price.brackets):
            if taken > bracket.above:
                price = bracket.price
                break
    whole = (
        tokens.input * price.input
        + tokens.cached_input * price.cached_input
        + tokens.cache_write * price.cache_write
        + tokens.output * price.output
        + price.request
    )
    # Most have none of these.
    if tokens.cache_write_1h or tokens.audio_input or tokens.audio_output or tokens.tool_calls:
        whole += (
            tokens.cache_write_1h * price.cache_write_1h
            + tokens.audio_input * price.audio_input
            + tokens.audio_output * price.audio_output
            + tokens.tool_calls * price.tool_call
        )
    unit = PICO * price.per
    return (whole + unit // 2) // unit


def worst(price: Price, input: int, tier: str = "") -> Worst:
    """What a reservation must assume of a request with up to so much input.

    Whatever kind its tokens turn out to be, below or above every bracket it can reach, and in the dearest tier that it
    can get.

    Args:
        input: tokens.
        tier: which the request asks for; "" and `auto` leave it to the provider.
    """
    if tier:
        # What clients write there is theirs to choose: no more is remembered than there are prices.
        named = _ALSO.get(tier, tier)
        tier = named if named in price.tiers else "default" if tier in _ORDINARY else ""
    reached = 0
    for above in price.steps:
        if input > above:
            reached += 1
    known = price.worsts.get((reached, tier))
    if known is None:
        known = price.worsts[reached, tier] = _worst(price, input, tier)
    return known


def _worst(price: Price, input: int, tier: str) -> Worst:
    beside = price.tiers.values() if not tier else (price.tiers[tier],) if tier in price.tiers else ()
    possible: list[Price] = []
    for one in (price, *beside):
        possible += [one, *(bracket.price for bracket in one.brackets if input > bracket.above)]
    return Worst(
        max(-(-max(p.input, p.cached_input, p.cache_write, p.cache_write_1h, p.audio_input) // p.per) for p in possible),
        max(-(-max(p.output, p.audio_output) // p.per) for p in possible),
        max(-(-p.request // p.per) for p in possible),
        max(-(-p.tool_call // p.per) for p in possible),
    )
