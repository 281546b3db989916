"""A bill: what was spent in a period, row by row, and in all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from extproc.mistakes import hint
from extproc.spending import DIMENSIONS, Question, Spent

ALWAYS: Final = ("input", "output")
"""Kinds of tokens that are told even where there are none."""


class BillError(ValueError):
    """What was asked for cannot be meant. The message says what was expected."""


class Bill(msgspec.Struct, frozen=True):
    """What was spent.

    Attributes:
        by: what rows are told apart by.
        start, end: from, and before.
        total: of all rows.
    """

    by: tuple[str, ...]
    start: datetime
    end: datetime
    rows: tuple[Spent, ...]
    total: Spent

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of tokens to tell of: those that were used."""
        return tuple(name for name, count in self.total.tokens.items() if count or name in ALWAYS)


def dimensions(text: str) -> tuple[str, ...]:
    """What to tell apart by, as `tenant,model`; nothing for an empty text.

    Raises:
        BillError: one of them is not known, or stands there twice.
    """
    words = tuple(word.strip().replace("-", "_") for word in text.split(",")) if text.strip() else ()
    for word in words:
        if word not in DIMENSIONS:
            raise BillError(f"--by {word!r}: expected some of {', '.join(DIMENSIONS)}{hint(word, DIMENSIONS)}")
    if len(set(words)) < len(words):
        raise BillError(f"--by {text}: one of them stands there twice")
    return words


def bill(question: Question, rows: Iterable[Spent]) -> Bill:
    """The bill that answers a question."""
    found = tuple(rows)
    return Bill(question.by, question.start, question.end, found, total(found))


def total(rows: Iterable[Spent]) -> Spent:
    """All of these together. Nothing spent nothing."""
    known = list(rows)
    costs = [row.dollars for row in known if row.dollars is not None]
    kinds: dict[str, int] = dict.fromkeys(ALWAYS, 0)
    for row in known:
        for name, count in row.tokens.items():
            kinds[name] = kinds.get(name, 0) + count
    return Spent(
        by={},
        requests=sum(row.requests for row in known),
        refused=sum(row.refused for row in known),
        open=sum(row.open for row in known),
        tokens=kinds,
        dollars=sum(costs) if costs or not known else None,
        unpriced=sum(row.unpriced for row in known),
        estimated=sum(row.estimated for row in known),
    )


def grouped(rows: Iterable[Spent], by: Sequence[str]) -> tuple[Spent, ...]:
    """The same told apart by fewer: one row for each combination, in the order in which they come."""
    groups: dict[tuple[str, ...], list[Spent]] = {}
    for row in rows:
        groups.setdefault(tuple(row.by[name] for name in by), []).append(row)
    return tuple(msgspec.structs.replace(total(rows), by=dict(zip(by, key, strict=True))) for key, rows in groups.items())


def filters(given: Mapping[str, Sequence[str] | None]) -> dict[str, tuple[str, ...]]:
    """Only what was given."""
    return {name: tuple(values) for name, values in given.items() if values}


def notes(total: Spent) -> list[str]:
    """What a reader of the sum must know."""
    told = []
    if total.unpriced:
        told.append(f"the cost of {total.unpriced:,} requests is not known, for their models have no price")
    if total.estimated:
        told.append(f"{total.estimated:,} requests are charged at an estimate, for their usage was not told")
    if total.open:
        told.append(f"{total.open:,} requests have not ended on record: what they cost is not in the sum")
    return told
