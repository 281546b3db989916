"""Runs of digits with separators, as people and programs write long numbers: what stands before and after each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from typing import Final

MOST: Final = 22
"""A run is looked at up to this many digits."""
_BEFORE: Final = 48
ENOUGH: Final = re.compile(r"[0-9](?:[^0-9]{0,3}+[0-9]){5}")
"""Six digits, none far from the next: no number of a person, card or account has fewer."""
# Begins at every group of digits, for the number may be any of them: each looks at most MOST digits ahead.
_WINDOW: Final = re.compile(rf"(?<![0-9])(?=([0-9](?:[ \-./]{{0,2}}+[0-9]){{8,{MOST - 1}}}+))")
_SHORT_WINDOW: Final = re.compile(rf"(?<![0-9])(?=([0-9](?:[ \-./]{{0,2}}+[0-9]){{6,{MOST - 1}}}+))")
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
)
_DATE: Final = re.compile(r"(?<![0-9+.])(?<![0-9]-)(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9]|-[0-9])")
_GROUP: Final = re.compile("[0-9]+")


def without_ids(text: str) -> str:
    """The text with letters in place of each UUID and each date of ISO 8601, which are numbers of nobody."""
    hyphens = text.count("-")
    if hyphens > 3:
        text = _UUID.sub("x" * 36, text)
    return _DATE.sub("xxxx-xx-xx", text) if hyphens > 1 else text


class Run:
    """Digits with separators, from the beginning of a group on."""

    def __init__(self, text: str, start: int, window: str) -> None:
        self._text = text
        self._window = window
        self.start = start
        groups = [found.span() for found in _GROUP.finditer(window)]
        self.digits = "".join([window[begin:end] for begin, end in groups])
        self._lengths = tuple([end - begin for begin, end in groups])
        # To each count of digits at which a group ends: how many groups they are, and where.
        self._ended = {
            count: (number, end)
            for number, (count, (_, end)) in enumerate(zip(accumulate(self._lengths), groups, strict=True), 1)
        }

    @cached_property
    def alone(self) -> bool:
        """It is no part of a word with other digits in it, such as a hash or an identifier."""
        return not _digits_before(self._text, self.start)

    @cached_property
    def is_fraction(self) -> bool:
        """It stands behind the point of a decimal number."""
        before = self._text[max(0, self.start - 2) : self.start]
        return len(before) == 2 and before[1] == "." and before[0].isdigit()

    @cached_property
    def context(self) -> str:
        """What stands before it, in lower case; nothing if there is no letter in it."""
        before = self._text[max(0, self.start - _BEFORE) : self.start].lower()
        return before if before.upper() != before or not before.isascii() else ""

    def end(self, count: int) -> int | None:
        """Where the first `count` digits end, if a group ends there, and no word with other digits goes on."""
        if count not in self._ended:
            return None
        end = self.start + self._ended[count][1]
        return None if _digits_after(self._text, end) else end

    def groups(self, count: int) -> tuple[int, ...]:
        """How many digits each group of the first `count` has; `count` is where one ends."""
        return self._lengths[: self._ended[count][0]]

    def separators(self, count: int) -> str:
        """What stands between the first `count` digits, where a group ends."""
        return "".join(_GROUP.split(self._window[: self._ended[count][1]]))


def runs(text: str, short: bool = False) -> Iterator[Run]:
    """Every run of nine digits or more (if `short`, of seven), from each of its groups on."""
    for found in (_SHORT_WINDOW if short else _WINDOW).finditer(text):
        yield Run(text, found.start(), found[1])


def _digits_before(text: str, start: int) -> bool:
    place = start - 1
    while place >= max(0, start - 32) and text[place].isalnum():
        if text[place].isdigit():
            return True
        place -= 1
    return False


def _digits_after(text: str, end: int) -> bool:
    for place in range(end, min(len(text), end + 32)):
        if not text[place].isalnum():
            return False
        if text[place].isdigit():
            return True
    return False
