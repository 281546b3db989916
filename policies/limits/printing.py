"""How the commands print: tables on a terminal, plain columns elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(text: str = "") -> None:
    """A line on stdout, without what could steer a terminal."""
    print(harmless(text), flush=True)  # noqa: T201


def complain(text: str, *, prefix: str = "sluicegate: ") -> None:
    """A line on stderr, without what could steer a terminal."""
    print(prefix + harmless(text), file=sys.stderr, flush=True)  # noqa: T201


def harmless(text: str) -> str:
    """`text` with control characters made visible: names of users and models are what clients sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_json(value: Any) -> None:
    """A document on stdout."""
    # ASCII alone: what could steer a terminal is escaped.
    print(json.dumps(msgspec.to_builtins(value), indent=2), flush=True)  # noqa: T201


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()) -> None:
    """A table: coloured on a terminal, columns apart by spaces elsewhere. `styles` colour whole rows."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
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
