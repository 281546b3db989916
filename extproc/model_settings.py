"""The part of the configuration that describes one model: its names, its price, its ceiling, its tokens."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from extproc.catalogue import Model
from extproc.price import DECIMALS, Price

_MOST: Final = 1_000_000
_EXPECTED: Final = f"expected US dollars per million tokens, from 0 to {_MOST:,}, with at most {DECIMALS} decimals"


def dollars(value: object) -> Decimal:
    """The amount that is written in the file, exactly: a YAML number by its shortest spelling, so that 0.075 is 0.075.

    Raises:
        ValueError: no number, or not one of a price.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(_EXPECTED)  # noqa: TRY004  (pydantic makes a mistake of this one only)
    try:
        # For a float this is its repr: the shortest decimal that reads back as the same float.
        exact = Decimal(str(value))
    except (InvalidOperation, ValueError):
        raise ValueError(_EXPECTED) from None
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -DECIMALS or not 0 <= exact <= _MOST:
        raise ValueError(_EXPECTED)
    return exact


Dollars = Annotated[Decimal, BeforeValidator(dollars), Field(description="US dollars per million tokens")]


class PriceEntry(BaseModel):
    """What a million tokens cost. What is left out costs what input costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None

    def price(self) -> Price:
        """The same, in the vocabulary of policies."""
        return Price.per_million(
            input=self.input, output=self.output, cached_input=self.cached_input, cache_write=self.cache_write
        )


class ModelEntry(BaseModel):
    """A model that clients may name; `target` is the upstream's own name for it, where that differs."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"x-expected": "a name, or {name: …, target: …}"}
    )

    name: Annotated[str, Field(min_length=1, max_length=256)]
    target: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}$",
                json_schema_extra={"x-expected": "the upstream's name of the model: letters, digits and . _ : / @ -"},
            ),
        ]
        | None
    ) = None
    price: PriceEntry | None = None
    max_output: (
        Annotated[int, Field(ge=1, le=10_000_000, strict=True, description="The most tokens of one answer")] | None
    ) = None
    output_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    tokenizer: Literal["o200k", "cl100k", "anthropic", "unknown"] | None = None

    def model(self) -> Model:
        """The same, in the vocabulary of policies."""
        return Model(
            self.name,
            self.target,
            price=self.price.price() if self.price is not None else None,
            max_output=self.max_output,
            output_field=self.output_field,
            tokenizer=self.tokenizer,
        )


def spell_out_models(value: Any) -> Any:
    """A list of models in which each is a mapping, also one that was written as its name alone."""
    if isinstance(value, list):
        return [{"name": item} if isinstance(item, str) else item for item in value]
    return value
