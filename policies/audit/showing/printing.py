"""How records are printed: as they stand in the journal, or a line for each, and nothing that steers a terminal."""

from __future__ import annotations

import io
import sys
from typing import Any, BinaryIO, Final

from rich.console import Console
from rich.text import Text

from extproc.printing import harmless, is_terminal

_NEWLINE: Final = b"\n"


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
    if is_terminal():
        line = harmless_json(line)
    sys.stdout.buffer.write(line + _NEWLINE)


def say_styled(text: str, style: str) -> None:
    """A line on stdout, coloured on a terminal."""
    if style and is_terminal():
        Console(highlight=False, soft_wrap=True).print(Text(harmless(text), style=style))
    else:
        # Not flushed: there may be millions of them.
        print(harmless(text))  # noqa: T201
