"""Numbers as people read them, by Grafana's names of units. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_STEPS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def plain(value: float) -> str:
    """Three digits that matter, and thousands as `k`."""
    for step, letter in _STEPS:
        if abs(value) >= step:
            return f"{value / step:.3g}{letter}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """From microseconds to days."""
    for step, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if abs(value) >= step:
            return f"{value / step:.3g} {name}"
    return f"{value * 1e6:.3g} µs" if value else "0 s"


def size(value: float) -> str:
    """Bytes."""
    for step, name in _BYTES:
        if abs(value) >= step:
            return f"{value / step:.3g} {name}"
    return f"{value:.0f} B"


def money(value: float) -> str:
    """US dollars: cents, and what is less than ten of them exactly."""
    return f"${value:,.2f}" if abs(value) >= 0.1 or not value else f"${value:.3g}"


_WRITTEN: Final[Mapping[str, Callable[[float], str]]] = {
    "reqps": lambda value: f"{plain(value)} req/s",
    "ops": lambda value: f"{plain(value)} /s",
    "percentunit": lambda value: f"{plain(100 * value)}%",
    "s": seconds,
    "ms": lambda value: seconds(value / 1e3),
    "d": lambda value: f"{plain(value)} days",
    "bytes": size,
    "currencyUSD": money,
}


def written(value: float, unit: str) -> str:
    """A value with its unit. `short`, and what is not known, is a plain number."""
    return _WRITTEN.get(unit, plain)(value)
