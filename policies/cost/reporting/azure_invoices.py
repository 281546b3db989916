"""Exports of Azure Cost Management: cost and usage details. Pure.

Columns by Microsoft's schemas of cost and usage details, whatever their capitals: Enterprise Agreement 2024-08-01,
Microsoft Customer Agreement 2023-12-01-preview, and FOCUS 1.2-preview
(https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/schema-index). Which model a row is of, and
which kind of tokens, stands in the name of its meter alone: `gpt-4o-mini-0718-Inp-glbl Tokens`,
`gpt 4.1 cached Inp DZone Tokens`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from policies.cost.reporting.invoice_files import Row
from policies.cost.reporting.invoices import Line, amount, day, decimal, model_name

DETAILS: Final = ("date", "metername", "metercategory", "costinbillingcurrency", "quantity", "unitofmeasure")
FOCUS: Final = ("chargeperiodstart", "billedcost", "billingcurrency", "x_skumetername")
_UNIT: Final = re.compile(r"\s*([0-9]{1,9})\s*([kKmM]?)\b.*")
_AMERICAN: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?:\s.*)?")
_SHORT: Final[Mapping[str, str]] = {"mn": "mini", "nn": "nano"}
_INPUT: Final = frozenset({"inp", "inpt", "input", "in"})
_OUTPUT: Final = frozenset({"outp", "outpt", "opt", "output", "out"})
_CACHED: Final = frozenset({"cached", "cchd", "cache", "cd"})
_TIERS: Final[Mapping[str, str]] = {
    "batch": "batch",
    "btch": "batch",
    "pp": "priority",
    "prty": "priority",
    "priority": "priority",
    "flex": "flex",
}
_AUDIO: Final = frozenset({"aud", "audio"})
_PLACES: Final = frozenset(
    {"data", "datazone", "dz", "dzn", "dzone", "gl", "glb", "glbl", "global", "regional", "regnl", "rgnl", "txt", "zone"}
)
_SIZE: Final = re.compile(r"[0-9]+[km]|tokens?|[0-9]{4}")
_OURS: Final = ("openai", "foundry models")


def details(row: Row, rate: Decimal | None) -> Iterator[Line | tuple[str, int]]:
    """What a row of cost and usage details says.

    Raises:
        ValueError: a cell is not what its column is for.
    """
    dollars = _dollars(row, rate)
    left = _aside(row, ("metercategory", "metersubcategory", "productname", "servicefamily"), row.get("chargetype"))
    if left:
        yield left, dollars
        return
    model, kind, tier = meter(row["metername"])
    tokens = {}
    unit = _UNIT.fullmatch(row["unitofmeasure"])
    if unit is not None and kind:
        times = int(unit[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[unit[2].lower()]
        tokens = {kind: int((decimal(row["quantity"]) * times).to_integral_value())}
    yield Line(_day(row["date"]), model, kind, row["metername"], tier, dollars, tokens)


def focus(row: Row, rate: Decimal | None) -> Iterator[Line | tuple[str, int]]:
    """What a row in the form of FOCUS says: amounts, for its quantities are in units of many kinds.

    Raises:
        ValueError: a cell is not what its column is for.
    """
    dollars = _in_dollars(row["billedcost"], row["billingcurrency"], rate)
    columns = ("servicename", "x_skumetercategory", "x_skumetersubcategory", "x_skudescription")
    left = _aside(row, columns, row.get("chargecategory"))
    if left:
        yield left, dollars
        return
    model, kind, tier = meter(row["x_skumetername"])
    yield Line(_day(row["chargeperiodstart"]), model, kind, row["x_skumetername"], tier, dollars)


# A month has a few dozen of them, on a row for each day and resource.
@lru_cache(1_024)
def meter(name: str) -> tuple[str, str, str]:
    """Model, kind of tokens and tier of a meter, by its name."""
    words = re.sub(r"\bgpt(?=[0-9])", "gpt ", name.strip().lower())
    left: list[str] = []
    kinds, tier, audio = set(), "", False
    for word in re.split(r"[\s_/-]+", words):
        if word in _INPUT or word in _OUTPUT or word in _CACHED:
            kinds.add("input" if word in _INPUT else "output" if word in _OUTPUT else "cached")
        elif word in _TIERS:
            tier = _TIERS[word]
        elif word in _AUDIO:
            audio = True
        elif word and word not in _PLACES and not _SIZE.fullmatch(word):
            left.append(_SHORT.get(word, re.sub(r"^turbo[0-9]+k$", "turbo", word)))
    kind = "cached_input" if "cached" in kinds else "output" if "output" in kinds else "input"
    if audio and kind != "cached_input":
        kind = f"audio_{kind}"
    # A meter that names no model stands for itself: one of them does not make a file that names none.
    return model_name("-".join(left)) or model_name(name), kind, tier


def _aside(row: Row, columns: tuple[str, ...], charge: str) -> str:
    """Why a row is not one of tokens; "" if it is."""
    about = " ".join(row.get(column) for column in columns).lower()
    name = (row.get("metername") or row.get("x_skumetername")).lower()
    if charge.strip().lower() not in ("usage", ""):
        return f"charges of another kind ({charge.strip()[:30]})"
    if "token" in name or re.search(r"[ -](inp|outp|input|output)[ -]", name):
        return ""
    return "of models, but not by token" if any(word in about for word in _OURS) else "other services"


def _dollars(row: Row, rate: Decimal | None) -> int:
    stated = row.get("costinusd").strip()
    if stated and rate is None:
        return amount(stated)
    return _in_dollars(row["costinbillingcurrency"], row.get("billingcurrency") or row.get("billingcurrencycode"), rate)


def _in_dollars(text: str, currency: str, rate: Decimal | None) -> int:
    if currency.strip().upper() not in ("USD", ""):
        if rate is None:
            raise ValueError(f"the currency is {currency.strip()[:10]!r}: say --rate, dollars for one of it")
        return amount(text, rate)
    return amount(text)


def _day(text: str) -> str:
    stripped = text.strip()
    american = _AMERICAN.fullmatch(stripped)
    try:
        if american is not None:
            month, of_month, year = map(int, american.groups())
            found = date(year, month, of_month)
        else:
            found = datetime.fromisoformat(stripped).date()
    except ValueError:
        raise ValueError(f"{stripped[:30]!r}: expected a day such as 11/20/2026 or 2026-11-20") from None
    return day(found)
