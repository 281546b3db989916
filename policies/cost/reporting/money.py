"""Amounts of money as they are written: whole micro-dollars in, text out. Pure; no float holds money."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MICRO: Final = 1_000_000
PLACES: Final = 6
_CENTS: Final = 2


def exact(micro: int) -> str:
    """Dollars with six decimals, for programs."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO)
    return f"{sign}{whole}.{part:06}"


def dollars(micro: int, places: int | None = None) -> str:
    """Dollars for people: `$1,234.50`. At least cents, and as many places as there are, unless `places` says how many;
    so many that nothing is rounded."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO)
    digits = f"{part:06}"
    return f"{sign}${whole:,}.{digits[: max(needed([micro]), places or 0)]}"


def needed(amounts: Iterable[int | None]) -> int:
    """How many decimals show all of these exactly: at least two. Written with as many, they stand under each other."""
    digits = (f"{abs(amount) % MICRO:06}".rstrip("0") for amount in amounts if amount is not None)
    return max([_CENTS, *map(len, digits)])


def rounded(micro: int) -> str:
    """Dollars to the cent, half up, for the axis of a plot and the label of a bar: `$1,234.57`; less than a cent as it
    is."""
    if abs(micro) < MICRO // 100:
        return dollars(micro)
    cents = (abs(micro) + 5_000) // 10_000
    return f"{'-' if micro < 0 else ''}${cents // 100:,}.{cents % 100:02}"
