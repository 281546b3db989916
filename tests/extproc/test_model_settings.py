"""What the configuration says of one model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from extproc.catalogue import Model
from extproc.mistakes import describe
from extproc.model_settings import ModelEntry, spell_out_models
from extproc.price import Price
from extproc.strict_yaml import read

NO_PRICE = "expected US dollars per million tokens, from 0 to 1,000,000, with at most 12 decimals"


def test_the_least_is_a_name() -> None:
    (entry,) = spell_out_models(["gpt-*"])
    assert ModelEntry.model_validate(entry).model() == Model("gpt-*")
    assert spell_out_models("gpt") == "gpt"
    assert spell_out_models([1, {"name": "m"}]) == [1, {"name": "m"}]


def test_the_most() -> None:
    entry = ModelEntry.model_validate(
        read(
            "{name: gpt-4o, target: prod, price: {input: 2.50, output: 10, cached_input: 1.25, cache_write: 0},"
            " max_output: 16384, output_field: max_tokens, tokenizer: o200k}"
        )
    )
    assert entry.model() == Model(
        "gpt-4o", "prod", Price(2_500_000, 10_000_000, 1_250_000, 0), 16_384, "max_tokens", "o200k"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"price": {"input": 1}}, "price.output: missing"),
        ({"price": {"output": 1}}, "price.input: missing"),
        ({"price": {"input": 1, "output": "1 $"}}, f"price.output: {NO_PRICE} (found '1 $')"),
        ({"price": {"input": 1, "output": -1}}, f"price.output: {NO_PRICE} (found '-1')"),
        ({"price": {"input": 1, "output": True}}, f"price.output: {NO_PRICE} (found 'True')"),
        ({"price": {"input": 1, "output": 1, "reasoning": 1}}, "price.reasoning: unknown key"),
        (
            {"price": 1},
            "price: expected a mapping with the keys input, output, cached_input, cache_write, cache_write_1h,"
            " audio_input, audio_output, request, tool_call, brackets, tiers (found '1')",
        ),
        ({"max_output": 0}, "max_output: expected at least 1 (found '0')"),
        ({"max_output": 10_000_001}, "max_output: expected at most 10000000 (found '10000001')"),
        ({"max_output": "16384"}, "max_output: expected a whole number (found '16384')"),
        ({"max_output": 1.5}, "max_output: expected a whole number (found '1.5')"),
        (
            {"output_field": "max_output_tokens"},
            "output_field: expected max_tokens or max_completion_tokens (found 'max_output_tokens')",
        ),
        # What stands at a path that looks like a secret's is not repeated.
        ({"tokenizer": "p50k"}, "tokenizer: expected o200k, cl100k, anthropic or unknown"),
        ({"prices": {}}, "prices: unknown key (did you mean 'price'?)"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_and_its_path(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelEntry.model_validate({"name": "m", **changes})
    assert describe(caught.value, ModelEntry) == [line]
