"""Counting the tokens of one text: exactly, or bounded by its bytes.

A long text is encoded in pieces, because the time for a run of one character grows faster than its length, and a million
spaces make tiktoken panic. Where a text may be cut is the question: byte-pair encoding takes the pairs in the order of
their ranks and does not look for the fewest tokens, so that the two halves of a word can have fewer tokens than the word
("abcd" is a-bc-d where "bc" comes first, and ab-cd if cut). Both vocabularies first split a text by a pattern, and never
merge across its splits. A cut at a place where the pattern splits whatever surrounds it changes nothing: such a place is
looked for first. Only in a run of a thousand letters or signs without one is a word cut, and `CUT` tokens are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from sys import getsizeof
from typing import Final
from unicodedata import category

import tiktoken

PIECE: Final = 10_000
"""Characters that are encoded at once, at most."""
CUT: Final = 32
"""Tokens added for each word that is cut. The most by which two halves had fewer tokens than the whole was 5 in eight
million random cuts, and 7 in a search that climbed towards it."""
_BACK: Final = 1_000
"""Characters in which a place to cut is looked for."""
_SHORT: Final = 2_048
_REMEMBERED: Final = 512
"""Short texts whose count is remembered: 4 MB at most."""
_LONG: Final = 100_000
_WIDEST: Final = {1: 2, 2: 3}


class Counter:
    """Counts with one encoding, and remembers short texts: system prompts come again and again. Threads may share it."""

    __slots__ = ("_encode", "_short")

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encode = encoding.encode_ordinary
        self._short = lru_cache(_REMEMBERED)(self._piece)

    def count(self, text: str) -> int:
        """How many tokens the text has, or a few more where a word is cut. At most `byte_bound(text)`, never less than
        the whole text has."""
        length = len(text)
        if length <= _SHORT:
            return self._short(text)
        if length <= PIECE:
            return self._piece(text)
        tokens = 0
        for piece, is_word_cut in pieces(text):
            tokens += self._piece(piece) + (CUT if is_word_cut else 0)
        return min(tokens, byte_bound(text))

    def _piece(self, text: str) -> int:
        try:
            return len(self._encode(text))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:
            # A panic of the native library is no Exception. What it cannot count is bounded.
            return byte_bound(text)


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces of at most `PIECE` characters, each with whether a word is cut at its end."""
    start, length = 0, len(text)
    while length - start > PIECE:
        end = last = start + PIECE
        while end > last - _BACK and not splits(text[end - 1], text[end]):
            end -= 1
        is_word_cut = end == last - _BACK
        if is_word_cut:
            end = last
        yield text[start:end], is_word_cut
        start = end
    yield text[start:], False


def splits(left: str, right: str) -> bool:
    """Whether the patterns of both vocabularies split between these two characters, whatever surrounds them.

    Nothing but a space may precede a space in a match. Letters are followed in a match by letters, marks and `'s` and its
    like alone, digits by digits alone, and only the run of letters has a character of another kind in front.
    """
    if right == " ":
        return not left.isspace()
    if right == "'":
        return False
    before = category(left)[0]
    if before == "L":
        return right in "\r\n\t" or category(right)[0] in "NPSZ"
    return before == "N" and (right in "\r\n\t" or category(right)[0] in "LPSZ")


def byte_bound(text: str) -> int:
    """At least as many as there are tokens: a byte-level vocabulary has no token of less than a byte."""
    if text.isascii():
        return len(text)
    length = len(text)
    if length <= _LONG:
        return len(text.encode("utf-8", "surrogatepass"))
    # To encode 50 MiB would take 0.15 s. Python stores a text at the width of its widest character (PEP 393): what fits
    # into one byte there has at most two in UTF-8, what fits into two at most three, and anything at most four.
    return length * _WIDEST.get(getsizeof(text) // length, 4)
