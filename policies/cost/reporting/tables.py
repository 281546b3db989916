"""A bill as a table of text: numbers stand to the right, and money under money. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.spending import Spent
from policies.cost.reporting.bills import Bill
from policies.cost.reporting.money import dollars, needed

NONE: Final = "-"
UNKNOWN: Final = "unknown"
MORE: Final = "> "
"""Before an amount of which a part is not known."""


def columns(bill: Bill) -> tuple[str, ...]:
    """The heading. Of tokens only kinds that were used."""
    more = ("estimated",) if bill.total.estimated else ()
    return (*bill.by, "requests", "refused", *(kind.replace("_", " ") for kind in bill.kinds), *more, "cost")


def lines(bill: Bill) -> list[tuple[str, ...]]:
    """The rows, and the totals last."""
    places = needed([*(row.dollars for row in bill.rows), bill.total.dollars])
    body = [(*(row.by[name] or NONE for name in bill.by), *_numbers(row, bill, places)) for row in bill.rows]
    if not bill.by:
        return body
    return [*body, ("total", *("" for _ in bill.by[1:]), *_numbers(bill.total, bill, places))]


def _numbers(row: Spent, bill: Bill, places: int) -> tuple[str, ...]:
    counts = [row.requests, row.refused, *(row.tokens.get(kind, 0) for kind in bill.kinds)]
    if bill.total.estimated:
        counts.append(row.estimated)
    return (*(f"{count:,}" for count in counts), cost(row, places))


def cost(row: Spent, places: int | None = None) -> str:
    """What a row costs, for people. More than that where the price of a part is not known."""
    if row.dollars is None:
        return UNKNOWN
    return (MORE if row.unpriced else "") + dollars(row.dollars, places)


def aligned(
    heading: Sequence[str], rows: Sequence[Sequence[str]], left: int
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The same with all columns but the first `left` of them filled up from the left."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]

    def fill(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            cell if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )

    return fill(heading), [fill(row) for row in rows]
