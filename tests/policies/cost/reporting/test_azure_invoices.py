"""Rows as Azure Cost Management exports them; names of meters as real ones were seen."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from policies.cost.reporting.azure_invoices import meter as read_meter
from policies.cost.reporting.invoices import Billed, Invoice, InvoiceError
from policies.cost.reporting.reading import read
from tests.policies.cost.reporting.exports import DETAILS, ENTERPRISE, FOCUS, meter, sheet

ONE = 10**24


def invoice(folder: Path, columns: tuple[str, ...], *rows: dict[str, object], rate: str = "") -> Invoice:
    path = folder / "azure.csv"
    path.write_text(sheet(columns, *rows), "utf-8-sig")
    return read(path, rate=Decimal(rate) if rate else None)


@pytest.mark.parametrize(
    ("name", "model", "kind", "tier"),
    [
        ("gpt-4o-mini-0718-Inp-glbl Tokens", "gpt-4o-mini", "input", ""),
        ("gpt-4o-mini-0718-Outp-glbl Tokens", "gpt-4o-mini", "output", ""),
        ("gpt 4o 0513 Input global Tokens", "gpt-4o", "input", ""),
        ("gpt 4o 0513 Output global Tokens", "gpt-4o", "output", ""),
        ("gpt 4o 1120 cached Inp glbl Tokens", "gpt-4o", "cached_input", ""),
        ("gpt 4.1 nano Outp glbl Tokens", "gpt-4.1-nano", "output", ""),
        ("gpt 4.5 0227 cached Inp DZone", "gpt-4.5", "cached_input", ""),
        ("GPT 5 Inpt Glbl 1M Tokens", "gpt-5", "input", ""),
        ("gpt-35-turbo4K-Inp-glbl Tokens", "gpt-3.5-turbo", "input", ""),
        ("gpt-35-turbo-4k-Output-regional Tokens", "gpt-3.5-turbo", "output", ""),
        ("gpt-4-8K-Batch-Inp-glbl Tokens", "gpt-4", "input", "batch"),
        ("gpt4o mn trscb aud in gl 1215 1M Tokens", "gpt-4o-mini-trscb", "audio_input", ""),
        ("gpt-4o-mini-tts-aud-out-glbl Tokens", "gpt-4o-mini-tts", "audio_output", ""),
        ("o1 1217 cached Inp regnl", "o1", "cached_input", ""),
        ("R1 Inp glbl Tokens", "r1", "input", ""),
        ("text-embedding-3-small-glbl Tokens", "text-embedding-3-small", "input", ""),
        ("Inp glbl Tokens", "inp glbl tokens", "input", ""),
    ],
)
def test_meters(name: str, model: str, kind: str, tier: str) -> None:
    assert read_meter(name) == (model, kind, tier)


def test_details_of_a_customer_agreement(tmp_path: Path) -> None:
    found = invoice(
        tmp_path,
        DETAILS,
        meter("11/20/2026", "gpt-4o-mini-0718-Inp-glbl Tokens", "0.00207345", "13.823"),
        meter("11/20/2026", "gpt-4o-mini-0718-Outp-glbl Tokens", "0.0013644", "2.274"),
        meter("2026-11-21", "gpt 4o 0513 Input global Tokens", "1.5", "0.3", unitOfMeasure="1M"),
        meter("11/20/2026", "S1 Speech To Text", "3", meterSubCategory="Speech"),
        meter("11/20/2026", "Standard Storage", "4", meterCategory="Storage", meterSubCategory="Blob"),
        meter("11/20/2026", "ft-gpt-4o hosting unit", "5"),
        meter("11/20/2026", "gpt-4o PTU Tokens", "-6", chargeType="Refund"),
    )
    assert (found.provider, found.form) == ("azure", "cost and usage details of Azure")
    assert found.billed == {
        ("2026-11-20", "gpt-4o-mini"): Billed(
            343_785 * 10**16, {"input": 13_823, "output": 2_274}, None, {"input", "output"}
        ),
        ("2026-11-21", "gpt-4o"): Billed(15 * 10**23, {"input": 300_000}, None, {"input"}),
    }
    assert found.aside == {
        "other services": 7 * ONE,
        "of models, but not by token": 5 * ONE,
        "charges of another kind (Refund)": -6 * ONE,
    }


def test_details_of_an_enterprise_agreement(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "Date": "11/02/2026",
        "ProductName": "Azure OpenAI - gpt-5",
        "MeterCategory": "Foundry Models",
        "MeterName": "gpt 5 cchd Inp glbl Tokens",
        "UnitOfMeasure": "1M Tokens",
        "Quantity": "0.000125",
        "CostInBillingCurrency": "10",
        "ChargeType": "Usage",
        "BillingCurrencyCode": "EUR",
    }
    with pytest.raises(InvoiceError, match=r"azure\.csv:2: the currency is 'EUR': say --rate"):
        invoice(tmp_path, ENTERPRISE, row)
    found = invoice(tmp_path, ENTERPRISE, row, rate="1.08")
    assert found.billed == {("2026-11-02", "gpt-5"): Billed(108 * 10**23, {"cached_input": 125}, None, {"cached_input"})}


def test_focus(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "BilledCost": "8e-07",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargePeriodStart": "2026-11-20T00:00:00Z",
        "ServiceName": "Azure OpenAI",
        "x_SkuMeterName": "R1 Outp glbl Tokens",
    }
    found = invoice(
        tmp_path, FOCUS, row, {**row, "x_SkuMeterName": "Disk", "ServiceName": "Storage Accounts", "BilledCost": "2"}
    )
    assert found.form == "FOCUS of Azure"
    assert found.billed == {("2026-11-20", "r1"): Billed(8 * 10**17, {}, None, {"output"})}
    assert found.aside == {"other services": 2 * ONE}


def test_dollars_are_taken_where_they_are_stated(tmp_path: Path) -> None:
    row = meter("11/20/2026", "gpt 5 Inp glbl Tokens", "1.08", billingCurrency="EUR", costInBillingCurrency="1")
    assert invoice(tmp_path, DETAILS, row).billed["2026-11-20", "gpt-5"].micro == 1_080_000
    assert invoice(tmp_path, DETAILS, row, rate="2").billed["2026-11-20", "gpt-5"].micro == 2_000_000


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"date": "20/11/2026"}, "'20/11/2026': expected a day such as 11/20/2026 or 2026-11-20"),
        ({"date": ""}, "'': expected a day"),
        ({"date": "9999-12-31"}, "the year 9999 is not to be believed"),
        ({"costInUsd": "=1", "costInBillingCurrency": "=1"}, "expected a number"),
        ({"quantity": "many"}, "expected a number"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, more: dict[str, object], told: str) -> None:
    with pytest.raises(InvoiceError, match=rf"azure\.csv:2: {told}"):
        invoice(tmp_path, DETAILS, {**meter("11/20/2026", "gpt 5 Inp glbl Tokens", "1"), **more})
