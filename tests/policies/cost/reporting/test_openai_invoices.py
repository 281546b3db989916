"""Rows as OpenAI's dashboard exports them; amounts and names as real ones were seen."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from policies.cost.reporting.invoices import Billed, Invoice, InvoiceError
from policies.cost.reporting.reading import read
from tests.policies.cost.reporting.exports import COSTS, USAGE, cost, day, sheet

ONE = 10**24


def invoice(folder: Path, columns: tuple[str, ...], *rows: dict[str, object], rate: str = "") -> Invoice:
    path = folder / "openai.csv"
    path.write_text(sheet(columns, *rows))
    return read(path, rate=Decimal(rate) if rate else None)


def test_costs_by_line_item(tmp_path: Path) -> None:
    found = invoice(
        tmp_path,
        COSTS,
        cost("2026-06-14", "gpt-4o-mini-2024-07-18, cached input", "0E-6176"),
        cost("2026-06-14", "gpt-4o-mini-2024-07-18, input", "0.000004500000000000000000000000000000000"),
        cost("2026-06-14", "gpt-4o-mini-2024-07-18, output", "0.00003420000000000000000000000000000000"),
        cost("2026-06-15", "gpt-5-2025-08-07, batch input", "0.25"),
        cost("2026-06-15", "web search tool calls", "0.01"),
        {**day("2026-06-16")},
    )
    assert (found.provider, found.form, found.by_model) == ("openai", "costs of OpenAI", True)
    assert found.billed == {
        # 4.5 and 34.2 micro-dollars.
        ("2026-06-14", "gpt-4o-mini"): Billed(387 * 10**17, {}, None, {"cached_input", "input", "output"}),
        ("2026-06-15", "gpt-5"): Billed(ONE // 4, {}, None, {"input"}, {"batch"}),
        ("2026-06-15", "web search tool calls"): Billed(ONE // 100),
    }
    assert found.billed["2026-06-14", "gpt-4o-mini"].micro == 39


def test_quantities_are_tokens(tmp_path: Path) -> None:
    rows = [
        cost("2026-06-14", "gpt-5, input", "0.1", quantity="30.0"),
        cost("2026-06-14", "gpt-5, cached input", "0.1", quantity="7.0"),
    ]
    found = invoice(tmp_path, (*COSTS, "quantity"), *rows)
    assert found.billed["2026-06-14", "gpt-5"].tokens == {"input": 30, "cached_input": 7}


def test_costs_that_name_no_model(tmp_path: Path) -> None:
    found = invoice(tmp_path, COSTS, cost("2025-10-05", "", "0.8958740000000000"), cost("2025-10-06", "", "0.1"))
    assert not found.by_model
    assert found.days == ("2025-10-05", "2025-10-06")
    assert found.billed["2025-10-05", ""].micro == 895_874


def test_usage(tmp_path: Path) -> None:
    numbers = {"num_model_requests": "10.0", "input_tokens": "59200.0", "output_tokens": "10646.0"}
    row = {**day("2025-10-05"), **numbers, "model": "gpt-4o-2024-08-06", "batch": "FALSE", "service_tier": "default"}
    found = invoice(
        tmp_path,
        USAGE,
        {**row, "input_cached_tokens": "5760.0"},
        {
            **row,
            "batch": "TRUE",
            "input_audio_tokens": "100",
            "input_cached_audio_tokens": "40",
            "output_audio_tokens": "46",
        },
        {**row, "service_tier": "priority", "num_model_requests": "1"},
        {**day("2025-10-08")},
    )
    assert found.form == "usage of OpenAI"
    (billed,) = found.billed.values()
    assert billed.tokens == {
        "input": 59_200 - 5_760 + 59_200 - 60 + 59_200,
        "cached_input": 5_760,
        "output": 10_646 + 10_600 + 10_646,
        "audio_input": 60,
        "audio_output": 46,
    }
    assert (billed.amount, billed.requests, billed.tiers) == (None, 21, {"batch", "priority"})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (cost("2026-06-14", "m", "=SUM(A1)"), r"openai\.csv:2: expected a number such as 12\.5"),
        (cost("2026-06-14", "m", "1", amount_currency="eur"), "the currency is 'eur': say --rate"),
        (cost("2026-06-14", "m", "1", start_time="yesterday"), "start_time: expected seconds since 1970"),
        (cost("2026-06-14", "m", "1", start_time="9" * 18), "start_time: expected seconds since 1970"),
        (cost("2026-06-14", "m", "1", start_time=""), "start_time: expected seconds since 1970"),
        (cost("2026-06-14", "m", "1", start_time="0"), "the year 1970 is not to be believed"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, row: dict[str, object], told: str) -> None:
    with pytest.raises(InvoiceError, match=told):
        invoice(tmp_path, COSTS, row)


def test_usage_that_names_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvoiceError, match="export usage grouped by model"):
        invoice(tmp_path, USAGE, {**day("2025-10-05"), "num_model_requests": "3"})


def test_another_currency(tmp_path: Path) -> None:
    rows = (cost("2026-06-14", "m", "2", amount_currency="eur"), cost("2026-06-14", "n", "2"))
    found = invoice(tmp_path, COSTS, *rows, rate="1.08")
    assert found.billed["2026-06-14", "m"].micro == 2_160_000
    # A rate is of the other currency.
    assert found.billed["2026-06-14", "n"].micro == 2_000_000
