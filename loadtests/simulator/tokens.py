"""The simulator's tokens are words. This module counts and makes them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

_SENTENCE: Final = (
    "the gateway decides who may ask what and counts every word that comes back while the river runs past open gates "
    "and nobody upstream needs to know how much of it was spent by whom on which quiet Tuesday or why"
)
_WORDS: Final = tuple(_SENTENCE.split())

# Members of messages and content parts whose strings are read by the model. Everything else is structure.
_TEXT_MEMBERS: Final = ("text", "content", "input", "output", "thinking", "arguments", "function", "tool_calls")


def words_in(value: object) -> int:
    """How many tokens a piece of a prompt has: words of its texts; a bare integer is a token id and counts as one."""
    match value:
        case str():
            return len(value.split())
        case bool() | None:
            return 0
        case int():
            return 1
        case list():
            return sum(words_in(item) for item in value)
        case dict():
            return sum(words_in(value[name]) for name in _TEXT_MEMBERS if name in value)
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class Seed:
    """Where ids, times and texts come from: a digest of the model and the prompt."""

    digest: str

    @classmethod
    def of(cls, model: str, *prompt: Any) -> Seed:
        return cls(hashlib.sha256(orjson.dumps([model, *prompt])).hexdigest())

    @property
    def created(self) -> int:
        """Seconds since the epoch: some time in 2025."""
        return 1_735_689_600 + int(self.digest[:8], 16) % 31_536_000

    def identifier(self, prefix: str, length: int = 24) -> str:
        """An id such as `chatcmpl-6f1c…`. Other prefixes give other digits."""
        return prefix + hashlib.sha256((prefix + self.digest).encode()).hexdigest()[:length]

    def tokens(self, count: int, choice: int = 0) -> Iterator[str]:
        """The first `count` tokens of the answer. Joined, they are its text."""
        return islice(self._endless(choice), count)

    def text(self, count: int, choice: int = 0) -> str:
        return "".join(self.tokens(count, choice))

    def _endless(self, choice: int) -> Iterator[str]:
        place = int(self.digest[8:16], 16) + choice
        stride = 1 + int(self.digest[16:18], 16) % (len(_WORDS) - 1)
        yield _WORDS[place % len(_WORDS)]
        while True:
            place += stride
            yield " " + _WORDS[place % len(_WORDS)]
