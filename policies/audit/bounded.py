"""What a client chose, short enough to be looked through while other exchanges wait. Pure.

To look through a text takes up to 40 us for each character, on the event loop: a name of a megabyte would stop it for
half a minute. What is longer than a name is ever is not looked at, and replaced whole.
"""

from __future__ import annotations

from typing import Any, Final

from policies.audit.words import Words

LONGEST: Final = 512
"""Characters of a name, an id or a path."""
MOST_CHARACTERS: Final = 1_024
MOST_VALUES: Final = 128
"""Of all parameters of a call together."""
TOO_LONG: Final = "[too long]"


def name(text: str, words: Words) -> str:
    """A name, an id or a path as a record may have it."""
    return words.text(text) if len(text) <= LONGEST else f"[too long: {len(text)} characters]"


class Allowance:
    """How much is looked at of the parameters of one call."""

    def __init__(self, characters: int = MOST_CHARACTERS, values: int = MOST_VALUES) -> None:
        self._characters = characters
        self._values = values

    def bounded(self, value: Any) -> Any:
        """A JSON value; what is in its place where it is more than what is left. A small one behind it still stands."""
        characters, values = self._characters, self._values
        if self._takes(value):
            return value
        self._characters, self._values = characters, values
        return TOO_LONG

    def _takes(self, value: Any) -> bool:
        """Takes it out of what is left. Looks no further than that, and at no level twice: a list cannot make it slow."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            self._values -= 1
            if isinstance(value, dict):
                self._values -= len(value)
                self._characters -= sum(map(len, value)) if self._values >= 0 else 0
                waiting += value.values() if self._values >= 0 else ()
            elif isinstance(value, list | tuple):
                waiting += value if len(value) <= self._values else ()
                self._values -= 0 if len(value) <= self._values else len(value)
            elif isinstance(value, str):
                self._characters -= len(value)
            elif isinstance(value, int) and not isinstance(value, bool):
                self._characters -= value.bit_length() // 3
            if self._characters < 0 or self._values < 0:
                return False
        return True
