"""What tokens cost. Pure integers: a dollar amount is exact to the micro-dollar, and no float is ever added up.

A price is stated in US dollars per million tokens, as every provider's price list does; that is micro-dollars per token.
It is held in *picodollars per token* (a millionth of that), so that a price with six decimals is a whole number.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from extproc.completion import Usage
from extproc.exchange import Dialect

PICO: Final = 1_000_000
"""Picodollars in a micro-dollar; and the unit in which weights of tokens are held."""
DECIMALS: Final = 6
"""How many decimals a price may have."""


class Price(msgspec.Struct, frozen=True):
    """Picodollars per token. Reasoning tokens are output (every provider bills them so)."""

    input: int
    output: int
    cached_input: int
    cache_write: int

    @classmethod
    def per_million(
        cls, *, input: Decimal, output: Decimal, cached_input: Decimal | None = None, cache_write: Decimal | None = None
    ) -> Price:
        """From dollars per million tokens. What is not said of cached input and cache writes costs what input costs.

        Raises:
            ValueError: negative, or with more than six decimals.
        """
        return cls(
            _picodollars(input),
            _picodollars(output),
            _picodollars(input if cached_input is None else cached_input),
            _picodollars(input if cache_write is None else cache_write),
        )


def _picodollars(dollars_per_million: Decimal) -> int:
    exponent = dollars_per_million.as_tuple().exponent
    # By its digits: a product would be rounded to the 28 of Decimal's context, and look whole.
    if not isinstance(exponent, int) or exponent < -DECIMALS or dollars_per_million < 0:
        raise ValueError("expected a price of dollars per million tokens, with at most six decimals")
    numerator, denominator = dollars_per_million.as_integer_ratio()
    return numerator * PICO // denominator


class Portions(msgspec.Struct, frozen=True):
    """Tokens that are billed beside each other: no token stands in two of them. `reasoning` is a part of `output`."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


def portions(usage: Usage, dialect: Dialect) -> Portions:
    """The portions of a usage: OpenAI counts cached tokens inside the input, Anthropic beside it."""
    plain = usage.input
    if dialect is not Dialect.ANTHROPIC:
        plain = max(0, usage.input - usage.cached_input - usage.cache_write)
    return Portions(plain, usage.cached_input, usage.cache_write, usage.output, min(usage.reasoning, usage.output))


def cost(tokens: Portions, price: Price) -> int:
    """Micro-dollars, rounded half up once, for the whole."""
    exact = (
        tokens.input * price.input
        + tokens.cached_input * price.cached_input
        + tokens.cache_write * price.cache_write
        + tokens.output * price.output
    )
    return (exact + PICO // 2) // PICO
