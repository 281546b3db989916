"""A cursor over what others wrote: every value is asked for by its type, and a wrong one is named by its place. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_DURATION: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?s")
_MAX_NAME: Final = 120
_MAX_PLACE: Final = 300


class UnreadableError(ValueError):
    """What was given is no configuration of Envoy's: cut off, of the wrong type, or something else altogether."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A value in a document, and where it stands: `configs[2].static_listeners[0].listener`.

    Members that are absent are empty values, as they are in Envoy's JSON, which leaves out what is the default. A member
    of a type that it cannot have is an `UnreadableError`.
    """

    value: Any
    place: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything: an empty message counts."""
        return self.value is not None

    def at(self, *path: str) -> Tree:
        """The member under these names; nothing where one of them is absent."""
        here = self
        for name in path:
            here = here._member(name)
        return here

    def has(self, name: str) -> bool:
        """Whether there is a member of this name, even an empty one."""
        return self._member(name).value is not None

    def items(self, *path: str) -> list[Tree]:
        """The list under these names; empty where there is none."""
        here = self.at(*path)
        if here.value is None:
            return []
        if not isinstance(here.value, list):
            raise here.wrong("a list")
        return [Tree(item, f"{here.place}[{index}]") for index, item in enumerate(here.value)]

    def members(self, *path: str) -> Iterator[tuple[str, Tree]]:
        """Name and value of each member of the mapping under these names."""
        here = self.at(*path)
        for name in here._mapping():
            yield name, here._member(name)

    def text(self, *path: str) -> str:
        """The string under these names; empty where there is none."""
        here = self.at(*path)
        if here.value is None:
            return ""
        if not isinstance(here.value, str):
            raise here.wrong("a string")
        return here.value

    def texts(self, *path: str) -> list[str]:
        """The strings in the list under these names."""
        return [item.text() for item in self.items(*path)]

    def flag(self, *path: str, default: bool = False) -> bool:
        """The truth value under these names."""
        here = self.at(*path)
        if here.value is None:
            return default
        if not isinstance(here.value, bool):
            raise here.wrong("true or false")
        return here.value

    def number(self, *path: str) -> float | None:
        """The number under these names, also where it is written as a string, as JSON of protobuf has 64-bit integers."""
        here = self.at(*path)
        if here.value is None:
            return None
        value = here.value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _fits(value):
            raise here.wrong("a number")
        return float(value)

    def seconds(self, *path: str) -> float | None:
        """The duration under these names, in seconds; None where there is none."""
        here = self.at(*path)
        if here.value is None:
            return None
        if not isinstance(here.value, str) or not _DURATION.fullmatch(here.value):
            raise here.wrong("a duration such as 5s")
        return float(here.value.removesuffix("s"))

    def type(self) -> str:
        """The last part of the type of a typed configuration: `ExternalProcessor`. Empty where it says none."""
        return self.text("@type").rpartition(".")[2]

    def wrong(self, expected: str) -> UnreadableError:
        """The error that something else stands here. What stands here is not told: it may be a secret."""
        return UnreadableError(f"{self.place or 'the document'}: expected {expected}, found {_named(self.value)}")

    def _mapping(self) -> Mapping[str, Any]:
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            raise self.wrong("a mapping")
        for name in self.value:
            if not isinstance(name, str):
                raise self.wrong("a mapping by names")
        return self.value

    def _member(self, name: str) -> Tree:
        place = f"{self.place}.{name[:_MAX_NAME]}" if self.place else name[:_MAX_NAME]
        return Tree(self._mapping().get(name), place[-_MAX_PLACE:])


def _fits(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _named(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a mapping" if isinstance(value, Mapping) else type(value).__name__
