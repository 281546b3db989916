"""Exports of OpenAI: costs and usage, as the usage dashboard saves them. Pure.

Columns as the dashboard wrote them in October 2025 (costs: `start_time`, `end_time`, `start_time_iso`, `end_time_iso`,
`amount_value`, `amount_currency`, `line_item`, `project_id`, `organization_id`, `organization_name`; usage of
completions: the same times, `project_id`, `num_model_requests`, `user_id`, `api_key_id`, `model`, `batch`,
`service_tier`, `input_tokens`, `output_tokens`, `input_cached_tokens`, …), and members of `GET /v1/organization/costs`
as it answered in June 2026: `line_item` is `gpt-4o-mini-2024-07-18, cached input`, `quantity` is of tokens, amounts are
texts of up to forty places, or `0E-6176`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from policies.cost.reporting.invoice_files import Row
from policies.cost.reporting.invoices import Line, amount, day, decimal, model_name, whole

COSTS: Final = ("start_time", "amount_value", "amount_currency", "line_item")
USAGE: Final = ("start_time", "num_model_requests", "model", "input_tokens", "output_tokens")
_KINDS: Final[Mapping[str, str]] = {
    "cached input": "cached_input",
    "input": "input",
    "output": "output",
    "audio input": "audio_input",
    "audio output": "audio_output",
    "cached audio input": "cached_input",
}
_TIERS: Final = ("batch", "flex", "priority")


def costs(row: Row, rate: Decimal | None) -> Iterator[Line]:
    """What a row of the costs export says; nothing of a day without costs.

    Raises:
        ValueError: a cell is not what its column is for.
    """
    if not row["amount_value"].strip():
        return
    currency = row["amount_currency"].strip()
    if currency.lower() in ("usd", ""):
        # What is in dollars already has no rate, whatever else was typed.
        rate = None
    elif rate is None:
        raise ValueError(f"the currency is {currency[:10]!r}: say --rate, dollars for one of it")
    name = row["line_item"].strip()
    model, _, what = name.rpartition(", ")
    words = what.lower()
    tier = next((one for one in _TIERS if one in words.split()), "")
    kind = _KINDS.get(" ".join(word for word in words.split() if word not in _TIERS), "")
    # Of tokens, where the export has it.
    quantity = row.get("quantity").strip()
    tokens = {kind: whole(quantity)} if kind and quantity else {}
    yield Line(_day(row), model_name(model or name), kind, name, tier, amount(row["amount_value"], rate), tokens)


def usage(row: Row, _rate: Decimal | None) -> Iterator[Line]:
    """What a row of the usage export says: tokens, and no amounts. `input_tokens` has the cached ones in it.

    Raises:
        ValueError: a cell is not what its column is for.
    """
    name = row["model"].strip()
    if not name:
        if whole(row["num_model_requests"]):
            raise ValueError("it names no model: export usage grouped by model")
        return
    cached = whole(row.get("input_cached_tokens"))
    audio_in, audio_out = whole(row.get("input_audio_tokens")), whole(row.get("output_audio_tokens"))
    # What is cached and audio stands in both.
    audio_in = max(0, audio_in - whole(row.get("input_cached_audio_tokens")))
    taken, made = whole(row["input_tokens"]), whole(row["output_tokens"])
    tokens = {
        "input": max(0, taken - cached - audio_in),
        "cached_input": cached,
        "output": max(0, made - audio_out),
        "audio_input": audio_in,
        "audio_output": audio_out,
    }
    tier = "batch" if row.get("batch").strip().lower() == "true" else row.get("service_tier").strip().lower()
    yield Line(
        _day(row),
        model_name(name),
        "",
        name,
        tier if tier in _TIERS else "",
        None,
        {kind: count for kind, count in tokens.items() if count},
        whole(row["num_model_requests"]),
    )


def _day(row: Row) -> str:
    try:
        found = datetime.fromtimestamp(int(decimal(row["start_time"])), UTC).date()
    except (ValueError, OverflowError, OSError):
        raise ValueError("start_time: expected seconds since 1970") from None
    return day(found)
