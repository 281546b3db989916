"""A bill as one page of HTML that needs nothing else: no network, no file beside it, no script but its own. Pure.

Every value is escaped, and a content security policy that names the page's own style and script by their hashes lets
nothing else run, whatever a tenant is called.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from extproc.printing import harmless
from extproc.spending import Spent
from policies.cost.reporting import charts
from policies.cost.reporting.bills import Bill, notes
from policies.cost.reporting.charts import Slice
from policies.cost.reporting.money import needed
from policies.cost.reporting.periods import days, told
from policies.cost.reporting.tables import cost

PLOTS: Final[Mapping[str, str]] = {"day": "Spend by day", "model": "By model", "tenant": "By tenant", "user": "Top users"}
"""What is plotted, by what it is told apart by."""
_MOST_BARS: Final = 8
_WIDE: Final = ("day", "user")
_MOST_DAYS: Final = 400
MOST_ROWS: Final = 2_000
"""Rows of the table. A page of more is no page; the other formats have all of them."""


def page(bill: Bill, plotted: Mapping[str, Sequence[Spent]], made: datetime) -> str:
    """The page.

    Args:
        plotted: for each of `PLOTS`, what was spent, told apart by it alone.
        made: when, for the reader.
    """
    style, script = _asset("page.css"), _asset("page.js")
    title = f"Spend, {told(bill.start, bill.end)}"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    body = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{style}</style></head>",
        f"<body><main><header><h1>{escape(title)}</h1>",
        f"<p>Sluicegate, from the ledger, {made:%Y-%m-%d %H:%M} UTC. Days are UTC.</p></header>",
        _tiles(bill),
        *_notes(bill),
        '<div class="plots">',
        *(_plot(bill, by, rows) for by, rows in plotted.items()),
        "</div>",
        _table(bill),
        f"</main><script>{script}</script></body></html>",
    ]
    return "\n".join(body) + "\n"


@cache
def _asset(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(value: str) -> str:
    """A value of a record, as it may stand in a page: no control characters, no mark-up."""
    return escape(harmless(value))


def _tiles(bill: Bill) -> str:
    total = bill.total
    taken = sum(count for kind, count in total.tokens.items() if _is_input(kind))
    made = sum(total.tokens.get(kind, 0) for kind in ("output", "audio_output"))
    shown = {
        "Cost": cost(total),
        "Requests": f"{total.requests:,}",
        "Refused": f"{total.refused:,}",
        "Tokens in": f"{taken:,}",
        "Tokens out": f"{made:,}",
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in shown.items())
    return f'<dl class="tiles">{tiles}</dl>'


def _is_input(kind: str) -> bool:
    return kind not in ("output", "audio_output", "reasoning", "tool_calls")


def _notes(bill: Bill) -> Iterable[str]:
    found = notes(bill.total)
    if found:
        yield '<ul class="notes">' + "".join(f"<li>{escape(one)}</li>" for one in found) + "</ul>"


def _plot(bill: Bill, by: str, rows: Sequence[Spent]) -> str:
    title, wide = PLOTS[by], by in _WIDE
    slices: list[Slice] = [(harmless(row.by[by]), row.dollars or 0) for row in rows]
    if by == "day":
        picture = charts.columns(_every_day(bill, slices), title)
    else:
        picture = charts.bars(charts.top([one for one in slices if one[1]], _MOST_BARS), title, wide=wide)
    if not any(amount for _, amount in slices):
        picture = '<p class="quiet">Nothing was spent.</p>'
    return f'<section class="{"wide" if wide else "plot"}"><h2>{title}</h2>{picture}</section>'


def _every_day(bill: Bill, slices: Sequence[Slice]) -> list[Slice]:
    """Also days of which nothing is known, between the first and the last that is plotted."""
    spent = dict(slices)
    named = days(bill.start, bill.end)
    if len(named) > _MOST_DAYS:
        named = [name for name in named if spent and min(spent) <= name <= max(spent)]
    return [(name, spent.get(name, 0)) for name in named]


def _table(bill: Bill) -> str:
    places = needed([*(row.dollars for row in bill.rows), bill.total.dollars])
    names = [*("requests", "refused"), *(kind.replace("_", " ") for kind in bill.kinds), "cost"]
    head = "".join(
        f'<th class="{"name" if index < len(bill.by) else "number"}" scope="col">'
        f'<button type="button">{escape(name.replace("_", " "))}</button></th>'
        for index, name in enumerate([*bill.by, *names])
    )
    body = "".join(_row(row, bill, places) for row in bill.rows[:MOST_ROWS])
    foot = "".join(_cells(bill.total, bill, places))
    label = '<td class="name">total</td>' + '<td class="name"></td>' * (len(bill.by) - 1) if bill.by else ""
    heading = f"By {', '.join(bill.by)}".replace("_", " ") if bill.by else "In all"
    more = len(bill.rows) - MOST_ROWS
    rest = f'<p class="quiet">{more:,} more rows are in the total: --csv has all of them.</p>' if more > 0 else ""
    return (
        f'<section class="table"><h2>{heading}</h2><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot><tr>{label}{foot}</tr></tfoot>"
        f"</table></div>{rest}</section>"
    )


def _row(row: Spent, bill: Bill, places: int) -> str:
    named = "".join(
        f'<td class="name" data-value="{_text(row.by[name])}">{_text(row.by[name]) or "-"}</td>' for name in bill.by
    )
    return f"<tr>{named}{''.join(_cells(row, bill, places))}</tr>"


def _cells(row: Spent, bill: Bill, places: int) -> Iterable[str]:
    for count in (row.requests, row.refused, *(row.tokens.get(kind, 0) for kind in bill.kinds)):
        yield f'<td data-value="{count}">{count:,}</td>'
    amount = -1 if row.dollars is None else row.dollars
    yield f'<td data-value="{amount}">{escape(cost(row, places))}</td>'
