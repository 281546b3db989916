"""Counting the tokens of one text: exactly, or bounded by its bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import tiktoken

PIECE: Final = 10_000
"""Characters that are encoded at once. The time for a run of the same character grows faster than its length, and from
about a million spaces on o200k panics. Cut in pieces a text has no fewer tokens: a token never spans a cut."""
_SHORT: Final = 2_048
_REMEMBERED: Final = 512
_LONG: Final = 100_000


class Counter:
    """Counts with one encoding, and remembers short texts: system prompts come again and again."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encode = encoding.encode_ordinary
        self._known: OrderedDict[str, int] = OrderedDict()

    def count(self, text: str) -> int:
        """How many tokens the text has, or a few more where it is cut in pieces."""
        if len(text) > _SHORT:
            return self._count(text)
        known = self._known.get(text)
        if known is None:
            known = self._count(text)
            if len(self._known) >= _REMEMBERED:
                self._known.popitem(last=False)
            self._known[text] = known
        return known

    def _count(self, text: str) -> int:
        if len(text) <= PIECE:
            return self._piece(text)
        return sum(self._piece(text[start : start + PIECE]) for start in range(0, len(text), PIECE))

    def _piece(self, text: str) -> int:
        try:
            return len(self._encode(text))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:
            # A panic of the native library is no Exception. What it cannot count is bounded.
            return byte_bound(text)


def byte_bound(text: str) -> int:
    """At least as many as there are tokens: a byte-level vocabulary has no token of less than a byte."""
    if text.isascii():
        return len(text)
    # To encode 50 MiB would take 0.15 s: no character has more than four bytes.
    return len(text.encode("utf-8", "surrogatepass")) if len(text) <= _LONG else 4 * len(text)
