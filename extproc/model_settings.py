"""The part of the configuration that describes one model: its names, its price, its ceiling, its tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from extproc.catalogue import Model
from extproc.price_settings import PriceEntry


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
