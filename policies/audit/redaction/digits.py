"""Runs of digits with separators, as people and programs write long numbers: what stands before and after each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final

MOST: Final = 22
"""A run is looked at up to this many digits."""
_BEFORE: Final = 48
ENOUGH: Final = re.compile(r"[0-9](?:[^0-9]{0,3}+[0-9]){5}")
"""Six digits, none far from the next: no number of a person, card or account has fewer."""
# Begins at every group of digits, for the number may be any of them: each looks at most MOST digits ahead.
_WINDOW: Final = re.compile(rf"(?<![0-9])(?=([0-9](?:[ \-./]{{0,2}}+[0-9]){{6,{MOST - 1}}}+))")
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
)
_GROUP: Final = re.compile("[0-9]+")


def without_uuids(text: str) -> str:
    """The text with letters in place of each UUID, which is a number of nobody."""
    return _UUID.sub("x" * 36, text) if text.count("-") > 3 else text


class Run:
    """Digits with separators, from the beginning of a group on."""

    def __init__(self, text: str, start: int, window: str) -> None:
        self._text = text
        self._window = window
        self.start = start
        self._places = [place for place, character in enumerate(window) if character.isdigit()]
        self.digits = "".join(window[place] for place in self._places)

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
        """What stands before it, in lower case."""
        return self._text[max(0, self.start - _BEFORE) : self.start].lower()

    def end(self, count: int) -> int | None:
        """Where the first `count` digits end, if a group ends there, and no word with other digits goes on."""
        if count > len(self._places):
            return None
        end = self.start + self._places[count - 1] + 1
        if end < len(self._text) and self._text[end].isdigit():
            return None
        return None if _digits_after(self._text, end) else end

    def groups(self, count: int) -> tuple[int, ...]:
        """How many digits each group of the first `count` has."""
        return tuple(len(group) for group in _GROUP.findall(self._window[: self._places[count - 1] + 1]))

    def separators(self, count: int) -> str:
        """What stands between the first `count` digits."""
        return "".join(_GROUP.split(self._window[: self._places[count - 1] + 1]))


def runs(text: str) -> Iterator[Run]:
    """Every run of seven digits or more, from each of its groups on."""
    for found in _WINDOW.finditer(text):
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
