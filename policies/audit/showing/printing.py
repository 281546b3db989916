"""How the commands print: lines and tables for people, lines of JSON for machines, nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NEWLINE: Final = b"\n"


def say(text: str = "") -> None:
    """A line on stdout, without what could steer a terminal."""
    print(harmless(text))  # noqa: T201


def complain(text: str, *, prefix: str = "sluicegate: ") -> None:
    """A line on stderr, without what could steer a terminal."""
    print(prefix + harmless(text), file=sys.stderr, flush=True)  # noqa: T201


def harmless(text: str) -> str:
    """`text` with control characters made visible: models, paths and sessions are what clients sent."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def harmless_json(line: bytes) -> bytes:
    """A line of JSON that means the same, with what a terminal could obey escaped. JSON itself escapes C0 alone."""
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return line
    return "".join(c if c.isprintable() else _escaped(c) for c in text).encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class HarmlessLines(io.RawIOBase):
    """Lines on their way to a terminal, without what it could obey. What is not a whole line yet waits."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        *whole, self._rest = (self._rest + bytes(data)).split(_NEWLINE)
        for line in whole:
            self._out.write(harmless_json(line) + _NEWLINE)
        return len(data)

    def close(self) -> None:
        if self._rest:
            self._out.write(harmless_json(self._rest))
            self._rest = b""
        self._out.flush()


def say_raw(line: bytes) -> None:
    """A record as it stands in the journal, byte for byte; on a terminal what it could obey is escaped.

    Not among lines that are said: they are buffered apart.
    """
    if sys.stdout.isatty():
        line = harmless_json(line)
    sys.stdout.buffer.write(line + _NEWLINE)


def say_styled(text: str, style: str) -> None:
    """A line on stdout, coloured on a terminal."""
    if style and sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(Text(harmless(text), style=style))
    else:
        say(text)


def show_json(value: Any) -> None:
    """A document on stdout."""
    # ASCII alone: what could steer a terminal is escaped.
    print(json.dumps(msgspec.to_builtins(value), indent=2), flush=True)  # noqa: T201


def show_text(text: str) -> None:
    """A document on stdout, as it is; on a terminal nothing but its lines, without what could steer one."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    for line in text.splitlines():
        say(line)


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
