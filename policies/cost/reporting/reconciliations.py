"""What the comparison with an invoice says, as a table, CSV and JSON. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from extproc.printing import harmless_cell
from policies.cost.reporting.comparing import Row
from policies.cost.reporting.invoices import Invoice, micro
from policies.cost.reporting.money import dollars, exact, needed
from policies.cost.reporting.tables import MORE, UNKNOWN

HEADING: Final = ("day", "model", "requests", "record", "invoice", "difference", "why")


def lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The rows, and the totals last. Of a file that tells tokens alone, tokens; else dollars: more than that where the
    price of a part is not known."""
    money = any(row.invoice is not None for row in rows)
    places = needed([amount for row in rows for amount in (row.record, row.invoice)])
    told = [_line(row, places, money=money) for row in rows]
    record = sum(_record(row, money=money) or 0 for row in rows)
    invoice = sum(_invoice(row, money=money) for row in rows)
    whole = (record, invoice, invoice - record)
    here, there, apart = (_amount(value, places, money=money) for value in whole)
    if money and any(row.unpriced or row.record is None for row in rows):
        here = f"{MORE}{here}" if any(row.record is not None for row in rows) else UNKNOWN
    return [*told, ("total", "", f"{sum(row.requests for row in rows):,}", here, there, _signed(whole[2], apart), "")]


def _line(row: Row, places: int, *, money: bool) -> tuple[str, ...]:
    record, invoice = _record(row, money=money), _invoice(row, money=money)
    apart = invoice - (record or 0)
    here = UNKNOWN if record is None else _amount(record, places, money=money)
    if money and row.unpriced and record is not None:
        here = f"{MORE}{here}"
    difference = _signed(apart, _amount(apart, places, money=money))
    why = "; ".join(row.why) or ("not known" if row.over else "")
    return (row.day, row.model, f"{row.requests:,}", here, _amount(invoice, places, money=money), difference, why)


def _record(row: Row, *, money: bool) -> int | None:
    return row.record if money else sum(row.billed.values()) - row.tokens_apart


def _invoice(row: Row, *, money: bool) -> int:
    return row.invoice or 0 if money else sum(row.billed.values())


def _amount(value: int, places: int, *, money: bool) -> str:
    return dollars(value, places) if money else f"{value:,}"


def _signed(value: int, text: str) -> str:
    return f"+{text}" if value > 0 else text


def document(invoice: Invoice, rows: Sequence[Row]) -> dict[str, Any]:
    """The comparison for programs; amounts are texts, in dollars."""
    first, last = invoice.days
    return {
        "invoice": invoice.form,
        "first_day": first,
        "last_day": last,
        "rows": [_told(row) for row in rows],
        "left_aside": {name: exact(micro(amount)) for name, amount in sorted(invoice.aside.items())},
        "over": sum(row.over for row in rows),
    }


def _told(row: Row) -> dict[str, Any]:
    amounts = {"record": row.record, "invoice": row.invoice, "difference": row.apart}
    return {
        "day": row.day,
        "model": row.model,
        "requests": row.requests,
        **{name: None if value is None else exact(value) for name, value in amounts.items()},
        "tokens_on_record": dict(row.tokens),
        "tokens_invoiced": dict(row.billed),
        "over": row.over,
        "why": list(row.why),
    }


def sheet(rows: Sequence[Row]) -> str:
    """The comparison as CSV. What a spreadsheet would take for a formula begins with a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*HEADING[:-1], "over", "why"])
    for row in rows:
        told = _told(row)
        amounts = ["" if told[name] is None else told[name] for name in ("record", "invoice", "difference")]
        over = "yes" if row.over else "no"
        writer.writerow(
            [row.day, harmless_cell(row.model), row.requests, *amounts, over, harmless_cell("; ".join(row.why))]
        )
    return out.getvalue()


def aside(invoice: Invoice) -> list[str]:
    """What was left out of the comparison, for people."""
    return [f"left aside: {name}: {dollars(micro(amount))}" for name, amount in sorted(invoice.aside.items())]
