"""What was spent: the question that makers of reports ask, and what whoever keeps the record answers.

No policy knows who keeps the record. A command asks the host (`typer.Context.obj`), the host asks the policies
(`extproc.policy.Policy.spending`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

DIMENSIONS: Final = (
    *("tenant", "department", "cost_centre", "user", "app", "agent", "session", "model", "response_model", "upstream"),
    *("price", "day", "month"),
)
"""What spending can be told apart by. A tenant goes by its name, or by its id where it has none; `agent` is the agent
backend that was called; `model` is what the client asked for, and `response_model` what the provider says it used;
`price` is the source of the price (`extproc.price.Price.source`). Days and months are UTC, `2026-11-20` and `2026-11`."""


class SpendingError(Exception):
    """It cannot be told what was spent. The message says why, for people."""


class Question(msgspec.Struct, frozen=True):
    """Who spent what in a period.

    Attributes:
        by: some of `DIMENSIONS`, each once.
        start, end: of the time of the decision, with a time zone: from, and before.
        filters: for some of `DIMENSIONS`, the values of which one must be had.
    """

    by: tuple[str, ...]
    start: datetime
    end: datetime
    filters: Mapping[str, tuple[str, ...]] = {}


class Spent(msgspec.Struct, frozen=True):
    """What exchanges of one kind spent together.

    Attributes:
        by: their values of what was asked by, in that order; "" where there is none.
        requests: how many exchanges, also refused ones.
        refused: refused by a policy.
        open: their end is not known: neither their tokens nor their cost is in the sums.
        tokens: by kind, as in `extproc.price.Portions`.
        dollars: micro-dollars, of all whose cost is known; None where some had a cost, and it is known of none.
        unpriced: exchanges with tokens for which no price is known.
        estimated: exchanges that are charged at an estimate, for their usage was not told.
    """

    by: Mapping[str, str]
    requests: int
    refused: int
    open: int
    tokens: Mapping[str, int]
    dollars: int | None
    unpriced: int
    estimated: int
