"""How commands print: tables on a terminal, plain lines elsewhere, JSON for machines. Nothing that steers a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, some also in full width."""
_BREAKS: Final = ("\t", "\r", "\n")


def is_terminal() -> bool:
    """Whether somebody is looking at the output."""
    return sys.stdout.isatty()


def harmless(text: str) -> str:
    """`text` with control characters made visible: names, paths, logs and configurations hold what others wrote."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def harmless_cell(text: str) -> str:
    """`text` as a spreadsheet leaves it alone: with a quote before it where it would be taken for a formula, also behind
    spaces and what nobody sees. Names of users and models are what clients sent."""
    seen = next((index for index, c in enumerate(text) if c.isprintable() and not c.isspace()), len(text))
    return f"'{text}" if text.startswith(_FORMULA, seen) or text.lstrip(" ").startswith(_BREAKS) else text


def say(text: str = "") -> None:
    """A line on stdout."""
    print(harmless(text), flush=True)  # noqa: T201


def complain(text: str, *, prefix: str = "sluicegate: ") -> None:
    """A line on stderr."""
    print(prefix + harmless(text), file=sys.stderr, flush=True)  # noqa: T201


def fault(error: OSError) -> str:
    """What is wrong with a file, in a line."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def show_text(text: str) -> None:
    """A document on stdout, as it is; on a terminal its lines alone, each of them harmless."""
    if not is_terminal():
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    for line in text.splitlines():
        say(line)


def show_json(value: Any) -> None:
    """A document of JSON on stdout."""
    # ASCII alone: what could steer a terminal is escaped.
    print(json.dumps(msgspec.to_builtins(value), indent=2), flush=True)  # noqa: T201


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()) -> None:
    """A table: coloured on a terminal, columns apart by spaces elsewhere. `styles` colour whole rows."""
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
