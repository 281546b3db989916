"""The bill at the end of the tour: who spent what, as the record has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias

from extproc.embedded.demo_tokens import TENANTS, Caller, demo_guid
from extproc.embedded.waiting import until
from extproc.spending import Question, SpendingError, Spent

Ask: TypeAlias = Callable[[Question], AsyncIterator[Spent]]
BY: Final = ("tenant", "user", "model")
COLUMNS: Final = (*BY, "requests", "refused", "input", "output", "cost")
_MICRO: Final = 1_000_000
_INPUT: Final = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input")
_OUTPUT: Final = ("output", "audio_output")


async def spent(ask: Ask, start: datetime, end: datetime, requests: int, *, patience: float) -> list[Spent]:
    """Who spent what, as soon as so many requests have ended on record; what there is of it after `patience` seconds."""
    found: list[Spent] = []

    async def told() -> bool:
        # Until the first record has been brought to it, there may be none.
        with contextlib.suppress(SpendingError):
            found[:] = [one async for one in ask(Question(BY, start, end))]
        return recorded(found) >= requests

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await until(told)
    return found


def recorded(rows: Iterable[Spent]) -> int:
    """How many requests have ended on record."""
    return sum(row.requests - row.open for row in rows)


def lines(rows: Iterable[Spent], callers: Iterable[Caller]) -> list[tuple[str, ...]]:
    """The bill, what cost most first and the total last, with the names of these callers."""
    known = {}
    for caller in callers:
        tenant = demo_guid("tenant", caller.tenant)
        known[demo_guid("user", f"{tenant}/{caller.user}")] = caller.user
    ordered = sorted(rows, key=lambda row: (-(row.dollars or 0), *row.by.values()))
    told = [
        (
            _tenant(row.by["tenant"]) or "-",
            known.get(row.by["user"], row.by["user"]) or "-",
            row.by["model"] or "-",
            *_numbers([row]),
        )
        for row in ordered
    ]
    return _to_the_right([COLUMNS, *told, ("total", "", "", *_numbers(ordered))])


def _tenant(tenant: str) -> str:
    return next((name for name, guid in TENANTS.items() if guid == tenant), tenant)


def _numbers(rows: Iterable[Spent]) -> tuple[str, ...]:
    known = list(rows)
    micro = sum(row.dollars or 0 for row in known)
    counts = (
        sum(row.requests for row in known),
        sum(row.refused for row in known),
        *(sum(row.tokens.get(kind, 0) for row in known for kind in kinds) for kinds in (_INPUT, _OUTPUT)),
    )
    return (*(f"{count:,}" for count in counts), f"${micro // _MICRO}.{micro % _MICRO:06}")


def _to_the_right(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Numbers under each other; the heading comes first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (*row[: len(BY)], *(cell.rjust(width) for cell, width in zip(row[len(BY) :], widths[len(BY) :], strict=True)))
        for row in rows
    ]
