"""Where an invoice and the record differ, by model and day, and why that is likely. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Final

import msgspec

from extproc.spending import Spent
from policies.cost.reporting.bills import total
from policies.cost.reporting.invoices import Billed, Invoice, decimal, model_name
from policies.cost.reporting.money import MICRO

EVERY: Final = "all models"
"""In place of a model where the invoice names none."""
NOT_SEEN: Final = "not metered, or dearer: calls that did not come through here, or another price"
CHEAPER: Final = "cheaper: a contract, a credit or a cache that the price here does not know"
_KINDS: Final = ("input", "cached_input", "output", "audio_input", "audio_output")
"""Kinds of tokens that invoices tell apart."""
_ALIKE: Final = 100
"""Counts that differ by less than one in so many are taken for the same."""


class ToleranceError(ValueError):
    """What was typed is no tolerance. The message says what was expected."""


class Tolerance(msgspec.Struct, frozen=True):
    """By how much both may differ: millionths of what is invoiced, or micro-dollars."""

    parts: int = 0
    micro: int = 0

    def allows(self, billed: int, apart: int) -> bool:
        """Whether a difference is within it; both in one unit."""
        return abs(apart) * MICRO <= max(abs(billed) * self.parts, self.micro * MICRO)


class Row(msgspec.Struct, frozen=True):
    """One model on one day, on both sides. Amounts in micro-dollars; None where a side says none.

    Attributes:
        over: they differ by more than is tolerated.
        why: what is likely, the likeliest first.
        unpriced: requests whose cost is not known: the record is more than it says.
    """

    day: str
    model: str
    record: int | None
    invoice: int | None
    requests: int
    tokens: Mapping[str, int]
    billed: Mapping[str, int]
    over: bool = False
    why: tuple[str, ...] = ()
    unpriced: int = 0

    @property
    def apart(self) -> int | None:
        """By how much the invoice is more than the record; None where the file tells tokens alone."""
        return None if self.invoice is None else self.invoice - (self.record or 0)

    @property
    def tokens_apart(self) -> int:
        """By how many tokens the invoice has more; 0 where it tells none."""
        return sum(self.billed.values()) - sum(self.tokens.get(kind, 0) for kind in _KINDS) if self.billed else 0


def tolerance(text: str) -> Tolerance:
    """`1%`, or `0.05`: dollars.

    Raises:
        ToleranceError: neither.
    """
    try:
        value = decimal(text.removesuffix("%"))
        found = int(value * (MICRO // 100 if text.endswith("%") else MICRO))
    except ValueError:
        found = -1
    if found < 0:
        raise ToleranceError(f"--tolerance {text}: expected a share such as 1%, or dollars such as 0.05")
    return Tolerance(parts=found) if text.endswith("%") else Tolerance(micro=found)


def compared(invoice: Invoice, rows: Iterable[Spent], allowed: Tolerance) -> list[Row]:
    """Every model and day that either side has, in order.

    Args:
        rows: told apart by `day` and `response_model`.
    """
    ours: dict[tuple[str, str], list[Spent]] = {}
    for row in rows:
        model = model_name(row.by["response_model"]) if invoice.by_model else EVERY
        ours.setdefault((row.by["day"], model), []).append(row)
    theirs = invoice.billed if invoice.by_model else _merged(invoice)
    tells_money = any(one.amount is not None for one in theirs.values())
    nothing = Billed(amount=0) if tells_money else Billed(tokens={"input": 0})
    found = []
    for day, model in sorted({*ours, *theirs}):
        spent, billed = total(ours.get((day, model), [])), theirs.get((day, model))
        if billed is None and not (spent.dollars or spent.unpriced):
            # Refused, or an agent's: nobody bills that.
            continue
        found.append(_row(day, model, spent, billed or nothing, allowed))
    over = {(row.day, row.model): row for row in found if row.over}
    return [_beside(row, over) if row.over else row for row in found]


def _merged(invoice: Invoice) -> dict[tuple[str, str], Billed]:
    merged: dict[tuple[str, str], Billed] = {}
    for (day, _), billed in invoice.billed.items():
        one = merged.setdefault((day, EVERY), Billed())
        if billed.amount is not None:
            one.amount = (one.amount or 0) + billed.amount
    return merged


def _row(day: str, model: str, spent: Spent, billed: Billed, allowed: Tolerance) -> Row:
    sides = spent.dollars, billed.micro, spent.requests, spent.tokens, billed.tokens
    row = Row(day, model, *sides, unpriced=spent.unpriced)
    apart = row.apart
    if apart is None:
        over = not allowed.allows(sum(billed.tokens.values()), row.tokens_apart)
    else:
        over = not (_by_rounding(spent, apart) or allowed.allows(billed.micro or 0, apart))
    return msgspec.structs.replace(row, over=over, why=tuple(reasons(row, spent, billed)))


def _by_rounding(spent: Spent, apart: int) -> bool:
    """Each request is rounded to a micro-dollar by itself: by half of one at most."""
    return 2 * abs(apart) <= spent.requests + 1


def reasons(row: Row, spent: Spent, billed: Billed) -> Iterator[str]:
    """Why they may differ, the likeliest first; nothing where they do not."""
    apart = row.apart
    if not apart and not row.tokens_apart:
        return
    found = list(_reasons(row, spent, billed))
    if not found and apart:
        # The file does not tell tokens apart, or none of what it tells.
        found = [NOT_SEEN if apart > 0 else CHEAPER]
    yield from found


def _reasons(row: Row, spent: Spent, billed: Billed) -> Iterator[str]:
    apart = row.apart
    if not spent.requests:
        yield "not metered: nothing of this model is on record on this day"
        return
    if not billed.amount and not billed.tokens:
        yield "not billed: of another account, or not invoiced yet"
    if spent.unpriced:
        yield f"unknown model: {spent.unpriced:,} requests have no price here"
    yield from _of_cache(spent, billed)
    if billed.tiers:
        yield f"tier: some of it is billed as {', '.join(sorted(billed.tiers))}"
    yield from _of_tokens(row, spent, billed)
    if spent.estimated:
        yield f"estimated: {spent.estimated:,} requests are charged at an estimate"
    if spent.open:
        yield f"open: {spent.open:,} requests have not ended on record"
    if apart and _by_rounding(spent, apart):
        yield "rounding: each request is rounded to a micro-dollar"


def _of_cache(spent: Spent, billed: Billed) -> Iterator[str]:
    here, there = spent.tokens.get("cached_input", 0), billed.tokens.get("cached_input")
    if there is None and billed.tokens and here:
        there = 0
    if there is not None and not _same(here, there):
        yield f"cache: {there:,} cached tokens are billed, {here:,} are on record"
    elif there is None and "cached_input" in billed.kinds and not here:
        yield "cache: cached input is billed, and none is on record"


def _of_tokens(row: Row, spent: Spent, billed: Billed) -> Iterator[str]:
    if billed.requests is not None and billed.requests > spent.requests - spent.refused:
        yield f"not metered: {billed.requests - spent.requests + spent.refused:,} more requests are billed"
    elif billed.tokens and not _same(sum(billed.tokens.values()), sum(spent.tokens.get(kind, 0) for kind in _KINDS)):
        more = row.tokens_apart
        side = "not metered: {:,} more tokens are billed" if more > 0 else "not billed: {:,} more tokens are on record"
        yield side.format(abs(more))
    elif row.apart and billed.tokens and not spent.unpriced and not _by_rounding(spent, row.apart):
        yield "price: the tokens agree, so another price is billed"


def _same(one: int, other: int) -> bool:
    return abs(one - other) * _ALIKE <= max(one, other)


def _beside(row: Row, over: Mapping[tuple[str, str], Row]) -> Row:
    """The row, with what a day beside it tells: that a request was counted on the one here and on the other there.

    Args:
        over: by day and model. A file of a hundred thousand models is not gone through for each of them.
    """
    day = date.fromisoformat(row.day)
    for near in (day - timedelta(days=1), day + timedelta(days=1)):
        other = over.get((near.isoformat(), row.model))
        if other and row.apart and other.apart and row.apart * other.apart < 0 and _near(row.apart, other.apart):
            why = f"midnight: {other.day} differs by as much the other way"
            return msgspec.structs.replace(row, why=(why, *row.why))
    return row


def _near(one: int, other: int) -> bool:
    return 4 * abs(one + other) <= max(abs(one), abs(other))
