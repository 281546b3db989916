"""A bill for programs and for spreadsheets: JSON and CSV. Pure."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from extproc.printing import harmless_cell
from extproc.spending import Spent
from policies.cost.reporting.bills import Bill
from policies.cost.reporting.money import exact

_COUNTS: Final = ("requests", "refused", "open", "unpriced", "estimated")


def document(bill: Bill) -> dict[str, Any]:
    """A bill for programs. Costs are texts, in dollars, for numbers of JSON are read as floats; null where none is
    known."""
    return {
        "from": bill.start.isoformat(),
        "before": bill.end.isoformat(),
        "by": list(bill.by),
        "rows": [{**row.by, **_told(row, bill)} for row in bill.rows],
        "total": _told(bill.total, bill),
    }


def _told(row: Spent, bill: Bill) -> dict[str, Any]:
    counts: dict[str, Any] = {name: getattr(row, name) for name in _COUNTS}
    tokens = {name: row.tokens.get(name, 0) for name in bill.total.tokens}
    return {**counts, **tokens, "cost": None if row.dollars is None else exact(row.dollars)}


def sheet(bill: Bill) -> str:
    """A bill as RFC 4180 has it, with a header; without the totals, which would be added up again. What a spreadsheet
    would take for a formula begins with a quote. A cost that is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = [*_COUNTS, *bill.total.tokens, "cost"]
    writer.writerow([*bill.by, *names])
    for row in bill.rows:
        told = _told(row, bill)
        writer.writerow(
            [harmless_cell(row.by[name]) for name in bill.by] + ["" if told[n] is None else told[n] for n in names]
        )
    return out.getvalue()
