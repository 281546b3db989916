"""Exports of providers, for tests: made up, with the columns that real ones have."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

COSTS: Final = (
    *("start_time", "end_time", "start_time_iso", "end_time_iso", "amount_value", "amount_currency", "line_item"),
    *("project_id", "organization_id", "organization_name"),
)
USAGE: Final = (
    *("start_time", "end_time", "start_time_iso", "end_time_iso", "project_id", "num_model_requests", "user_id"),
    *("api_key_id", "model", "batch", "service_tier", "input_tokens", "output_tokens", "input_cached_tokens"),
    *("input_uncached_tokens", "input_text_tokens", "output_text_tokens", "input_cached_text_tokens"),
    *("input_audio_tokens", "input_cached_audio_tokens", "output_audio_tokens"),
)
# Of a Microsoft Customer Agreement.
DETAILS: Final = (
    *("invoiceId", "billingAccountId", "date", "serviceFamily", "consumedService", "meterId", "meterName"),
    *(
        "meterCategory",
        "meterSubCategory",
        "meterRegion",
        "ProductName",
        "resourceLocation",
        "effectivePrice",
        "quantity",
    ),
    *("unitOfMeasure", "chargeType", "billingCurrency", "pricingCurrency", "costInBillingCurrency", "costInUsd", "tags"),
)
# Of an Enterprise Agreement.
ENTERPRISE: Final = (
    *("InvoiceSectionName", "SubscriptionId", "Date", "ProductName", "MeterCategory", "MeterSubCategory", "MeterName"),
    *("UnitOfMeasure", "Quantity", "EffectivePrice", "CostInBillingCurrency", "ChargeType", "BillingCurrencyCode"),
)
FOCUS: Final = (
    *("BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ConsumedQuantity", "ServiceName"),
    *("x_SkuMeterCategory", "x_SkuMeterName"),
)


def sheet(columns: Sequence[str], *rows: Mapping[str, object]) -> str:
    """A file with these columns; cells that a row does not name are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(dict(row) for row in rows)
    return out.getvalue()


def day(text: str) -> dict[str, object]:
    """The times of a day, as exports of OpenAI have them."""
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    end = start + timedelta(days=1)
    return {
        "start_time": int(start.timestamp()),
        "end_time": int(end.timestamp()),
        "start_time_iso": start.isoformat(),
        "end_time_iso": end.isoformat(),
    }


def cost(text: str, line_item: str, value: str, **more: object) -> dict[str, object]:
    """A row of OpenAI's costs."""
    return {**day(text), "amount_value": value, "amount_currency": "usd", "line_item": line_item, **more}


def meter(text: str, name: str, dollars: str, quantity: str = "1", **more: object) -> dict[str, object]:
    """A row of Azure's details (MCA)."""
    return {
        "date": text,
        "meterName": name,
        "meterCategory": "Cognitive Services",
        "meterSubCategory": "Azure OpenAI",
        "quantity": quantity,
        "unitOfMeasure": "1K",
        "chargeType": "Usage",
        "billingCurrency": "USD",
        "costInBillingCurrency": dollars,
        "costInUsd": dollars,
        **more,
    }
