"""The part of the configuration that says what something costs: dollars per million tokens, in brackets and tiers."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from extproc.price import DECIMALS, Bracket, Price

_MOST: Final = 1_000_000
_EXPECTED: Final = f"expected US dollars per million tokens, from 0 to {_MOST:,}, with at most {DECIMALS} decimals"
# Decimal takes more: `1_000`, spaces, the digits of every script.
_WRITTEN: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_TOKENS: Final = ("cached_input", "cache_write", "cache_write_1h", "audio_input", "audio_output")
_EACH: Final = ("request", "tool_call")
_WHOLE: Final = Fraction(1)


def dollars(value: object) -> Decimal:
    """The amount that is written in the file, exactly: a YAML number by its shortest spelling, so that 0.075 is 0.075.

    Raises:
        ValueError: no number, or not one of a price.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(_EXPECTED)  # noqa: TRY004  (pydantic makes a mistake of this one only)
    try:
        # For a float this is its repr: the shortest decimal that reads back as the same float.
        text = str(value)
        exact = Decimal(text)
    except (InvalidOperation, ValueError):
        raise ValueError(_EXPECTED) from None
    if not _WRITTEN.fullmatch(text):
        raise ValueError(_EXPECTED)
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -DECIMALS or not 0 <= exact <= _MOST:
        raise ValueError(_EXPECTED)
    return exact


Dollars = Annotated[
    Decimal,
    BeforeValidator(dollars, json_schema_input_type=float | str),
    Field(description="US dollars per million tokens"),
]
Each = Annotated[
    Decimal,
    BeforeValidator(dollars, json_schema_input_type=float | str),
    Field(description="US dollars for each"),
]
Tier = Literal["batch", "flex", "priority"]


class Rates(BaseModel):
    """What a million tokens of each kind cost, and each request and search. Left out, it is no cheaper than its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_1h: Dollars | None = None
    audio_input: Dollars | None = None
    audio_output: Dollars | None = None
    request: Each | None = None
    tool_call: Each | None = None

    def amounts(self, factor: Fraction = _WHOLE) -> dict[str, Fraction]:
        """Dollars by the names of `Price.per_million`: these, times `factor`."""
        written = {name: getattr(self, name) for name in ("input", "output", *_TOKENS, *_EACH)}
        return {name: Fraction(amount) * factor for name, amount in written.items() if amount is not None}


class BracketEntry(Rates):
    """The rates of a request with more input than this: of all of its tokens."""

    above: Annotated[int, Field(ge=1, le=100_000_000, strict=True, description="Tokens of input, cached ones among them")]


class TierEntry(BaseModel):
    """The price of a service tier: a discount on the ordinary one, or rates of its own."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"x-expected": "{discount: 50%}, or rates with input and output"}
    )

    discount: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?%$",
                description="of the ordinary price of tokens",
                json_schema_extra={"x-expected": "a percentage such as 50%, less than 100%"},
            ),
        ]
        | None
    ) = None
    input: Dollars | None = None
    output: Dollars | None = None
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_1h: Dollars | None = None
    audio_input: Dollars | None = None
    audio_output: Dollars | None = None
    request: Each | None = None
    tool_call: Each | None = None
    brackets: tuple[BracketEntry, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> TierEntry:
        rates = self.model_fields_set - {"discount"}
        if (self.discount is None) == (not rates):
            raise ValueError("expected either `discount` or rates")
        if rates and (self.input is None or self.output is None):
            raise ValueError("expected `input` and `output` among the rates")
        return self

    def price(self, ordinary: PriceEntry, factor: Fraction) -> Price:
        """The price of the tier, beside this ordinary one. No discount is on requests and searches."""
        if self.discount is None:
            rates = {name: getattr(self, name) for name in Rates.model_fields}
            each = {name: getattr(ordinary, name) for name in _EACH if rates[name] is None}
            return _made(Rates.model_validate({**rates, **each}), self.brackets, factor)
        left = 1 - Fraction(Decimal(self.discount[:-1])) / 100
        return _made(ordinary, ordinary.brackets, factor, left)


class PriceEntry(Rates):
    """What a model costs."""

    brackets: tuple[BracketEntry, ...] = ()
    tiers: dict[Tier, TierEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _distinct_brackets(self) -> PriceEntry:
        for brackets in (self.brackets, *(tier.brackets for tier in self.tiers.values())):
            if len({bracket.above for bracket in brackets}) < len(brackets):
                raise ValueError("two brackets begin `above` the same number of tokens")
        return self

    def price(self, factor: Fraction = _WHOLE) -> Price:
        """The same, in the vocabulary of policies, times `factor`: what one unit of its currency is in dollars."""
        tiers = {str(name): tier.price(self, factor) for name, tier in self.tiers.items()}
        return _made(self, self.brackets, factor, tiers=tiers)


def _made(
    rates: Rates,
    brackets: tuple[BracketEntry, ...],
    factor: Fraction,
    left: Fraction = _WHOLE,
    tiers: dict[str, Price] | None = None,
) -> Price:
    """`left`: what a discount leaves of the price of tokens."""
    above = [Bracket(one.above, Price.per_million(**_amounts(one, rates, factor, left))) for one in brackets]
    return Price.per_million(**_amounts(rates, rates, factor, left), brackets=above, tiers=tiers)


def _amounts(rates: Rates, otherwise: Rates, factor: Fraction, left: Fraction) -> dict[str, Any]:
    """`otherwise`: whose requests and searches cost the same where nothing else is said."""
    found = rates.amounts(factor * left)
    whole = {**otherwise.amounts(factor), **rates.amounts(factor)}
    return {**found, **{name: whole[name] for name in _EACH if name in whole}}
