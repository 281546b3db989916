"""Plots of spending as SVG: columns for days, bars for names. Pure; money is whole micro-dollars to the last step, and
only places on the picture are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, TypeAlias

from policies.cost.reporting.money import dollars, rounded

Slice: TypeAlias = tuple[str, int]
"""What it is of, and micro-dollars."""

_WIDTH: Final = 960
_LEFT: Final = 72
_HEIGHT: Final = 220
_TOP: Final = 12
_BELOW: Final = 28
_STEPS: Final = 4
_NARROW: Final = 460
_AMOUNTS: Final = 92
_ROW: Final = 28
_THICK: Final = 16
_WIDEST: Final = 36
_LABELS: Final = 12
_PER_NAME: Final = {_NARROW: (178, 23), _WIDTH: (300, 40)}
"""For each width, what is kept for names, and how many characters fit."""
OTHER: Final = "all others"


def top(slices: Sequence[Slice], most: int) -> list[Slice]:
    """The dearest, in order, and what all others cost together: the sum is the same."""
    ordered = sorted(slices, key=lambda one: (-one[1], one[0]))
    if len(ordered) <= most:
        return ordered
    rest = ordered[most - 1 :]
    return [*ordered[: most - 1], (f"{OTHER} ({len(rest):,})", sum(amount for _, amount in rest))]


def scale(most: int) -> int:
    """The step of an axis on which `most` lies at or below the fourth line: 1, 2, 2.5 or 5 times a power of ten."""
    power = 1
    while True:
        for quarter in (4, 8, 10, 20):
            step = quarter * power // 4
            if step and step * 4 >= power * quarter and step * _STEPS >= most:
                return step
        power *= 10


def columns(slices: Sequence[Slice], label: str) -> str:
    """One column for each day, in the order in which they come."""
    step = scale(max([amount for _, amount in slices], default=0))
    whole, span = step * _STEPS, _WIDTH - _LEFT
    parts = [_open(_WIDTH, _TOP + _HEIGHT + _BELOW, label)]
    for index in range(_STEPS + 1):
        y = _TOP + _HEIGHT - _HEIGHT * index // _STEPS
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"></line>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{rounded(step * index)}</text>')
    every = max(1, -(-len(slices) // _LABELS))
    for index, (name, amount) in enumerate(slices):
        left = _LEFT + span * index // len(slices)
        right = _LEFT + span * (index + 1) // len(slices)
        wide = max(1, min(_WIDEST, (right - left) * 7 // 10))
        x, high = (left + right - wide) // 2, _HEIGHT * max(0, amount) // whole
        if amount > 0:
            parts.append(_bar(x, _TOP + _HEIGHT - max(1, high), wide, max(1, high), f"{name}: {dollars(amount)}"))
        if index % every == 0:
            middle = (left + right) // 2
            y = _TOP + _HEIGHT + 18
            parts.append(f'<text class="tick" x="{middle}" y="{y}" text-anchor="middle">{escape(name[5:])}</text>')
    return "".join([*parts, "</svg>"])


def bars(slices: Sequence[Slice], label: str, *, wide: bool = False) -> str:
    """One bar for each name, in the order in which they come, with its amount beside it. `wide`: for long names."""
    full = _WIDTH if wide else _NARROW
    edge, longest = _PER_NAME[full]
    most = max([1, *(amount for _, amount in slices)])
    parts = [_open(full, max(1, len(slices)) * _ROW, label)]
    for index, (name, amount) in enumerate(slices):
        y, width = index * _ROW, max(2, (full - edge - _AMOUNTS) * amount // most) if amount > 0 else 0
        told, shown = f"{name or '-'}: {dollars(amount)}", escape(_short(name or "-", longest))
        parts.append(f'<text class="name" x="{edge - 10}" y="{y + 18}" text-anchor="end">{shown}')
        parts.append(f"<title>{escape(told)}</title></text>")
        if width:
            parts.append(_bar(edge, y + 6, width, _THICK, told, kind="rest" if name.startswith(OTHER) else "bar"))
        parts.append(f'<text class="amount" x="{edge + width + 8}" y="{y + 18}">{rounded(amount)}</text>')
    return "".join([*parts, "</svg>"])


def _open(width: int, height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'


def _bar(x: int, y: int, width: int, height: int, told: str, *, kind: str = "bar") -> str:
    corner = min(3, width // 2, height // 2)
    box = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="{corner}"'
    return f'<rect class="{kind}" {box}><title>{escape(told)}</title></rect>'


def _short(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
