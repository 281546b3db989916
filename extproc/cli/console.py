"""What is printed, and how: rich on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def is_terminal() -> bool:
    """Whether somebody is looking at the output."""
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """A line on stdout, as it is."""
    print(text, flush=True)  # noqa: T201


def complain(text: str, *, prefix: str = "sluicegate: ") -> None:
    """A line on stderr, without what could steer a terminal."""
    print(prefix + harmless(text), file=sys.stderr, flush=True)  # noqa: T201


def harmless(text: str) -> str:
    """`text` with control characters made visible: logs and configurations hold what others wrote."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()) -> None:
    """A table: lined on a terminal, columns apart by spaces elsewhere. `styles` colour whole rows."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    if is_terminal():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for index, row in enumerate(cells):
            table.add_row(*map(Text, row), style=styles[index] if styles else None)
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
