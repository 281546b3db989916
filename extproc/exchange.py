"""One HTTP request and its fate.

An `Exchange` lives from the request headers to the verdict. Policies learn and tell through *facts*: frozen dataclasses,
or structs (which cost a fifth to make), keyed by their own type, put once. Nothing in it outlives the verdict; what
settlement must know travels with the verdict as Envoy dynamic metadata (see `extproc.travel`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final, TypeVar

import msgspec

F = TypeVar("F")

# Query parameters that RFC 6750 section 2.3 and careless clients use for credentials. They never reach a log.
_LOGGED_PATH_LIMIT: Final = 512
_VALUE_LIMIT: Final = 256
_MARK: Final = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


class Dialect(StrEnum):
    """The language a client speaks, and in which it must be answered."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    JSONRPC = "jsonrpc"


class Headers:
    """An immutable multimap of HTTP field names (lower case) to values, in order of arrival."""

    __slots__ = ("_first", "_items")

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items = tuple(items)
        # Asked for about fifteen names per request.
        self._first = dict(reversed(self._items))

    def get(self, name: str) -> str | None:
        """The first value of `name` (lower case), or None."""
        return self._first.get(name)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of `name` (lower case), in order of arrival."""
        first = self._first.get(name)
        if first is None:
            return ()
        if len(self._first) == len(self._items):
            # No name stands twice, nearly always: saves 1 us.
            return (first,)
        return tuple(value for key, value in self._items if key == name)

    def names(self) -> tuple[str, ...]:
        """Every name once."""
        return tuple(self._first)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        # Values may be credentials: names only.
        return f"Headers({', '.join(key for key, _ in self._items)})"


class Request(msgspec.Struct, frozen=True):
    """The request line and header fields, as Envoy received them.

    `path` is the raw `:path` without its query; `query` is the raw query without the question mark ("" if absent).
    """

    method: str
    path: str
    query: str
    authority: str
    scheme: str
    headers: Headers
    request_id: str

    @property
    def loggable_path(self) -> str:
        """The path, bounded, without the query: queries may hold credentials."""
        return self.path[:_LOGGED_PATH_LIMIT]


@dataclass(frozen=True, slots=True)
class Response:
    """The status and header fields of the upstream's answer, put before the first `on_response_body`."""

    status: int
    headers: Headers


class ResponseBody(IntEnum):
    """How a policy wants to see the response on this exchange. The largest wish wins."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the response body: the whole of it when BUFFERED was asked for."""

    data: bytes
    last: bool


# An enumeration looks for its members itself, in 0.1 us.
_UNWANTED: Final = ResponseBody.NONE


class MissingFactError(LookupError):
    """A policy needed a fact that nobody provided: a fault in the chain, not in the request."""


class Exchange:
    """Facts about one request, and the wishes of its policies.

    `body` is None until the request body is known, and stays None where the endpoint's body does not pass through
    the gateway's memory (opaque routes, agents).
    """

    __slots__ = ("_facts", "_notes", "body", "id", "marks", "request", "response_wanted", "timings", "told")

    def __init__(self, exchange_id: str, request: Request, *, explaining: bool = False) -> None:
        self.id = exchange_id
        self.request = request
        self.body: bytes | None = None
        self.response_wanted = _UNWANTED
        self.marks: tuple[str, ...] = ()
        """What `flag` was told, each once, in order."""
        self.told: dict[str, str] | None = None
        """What `tell` was told. None until then: most exchanges are told nothing."""
        self.timings: dict[str, int] = {}
        """How long each policy has taken so far, with what it waited for: nanoseconds by name, in order. Kept by the host
        for policies that hear the verdict."""
        self._facts: dict[type[Any], Any] = {}
        self._notes: list[str] | None = [] if explaining else None

    def put(self, fact: object) -> None:
        """Record a fact under its own type. A second one of the same type is an error: facts do not change."""
        kind = type(fact)
        if kind in self._facts:
            raise ValueError(f"fact {kind.__name__} is already known")
        self._facts[kind] = fact

    def get(self, kind: type[F]) -> F | None:
        """The fact of this type, or None."""
        fact: F | None = self._facts.get(kind)
        return fact

    def need(self, kind: type[F]) -> F:
        """The fact of this type.

        Raises:
            MissingFactError: nobody has put it.
        """
        try:
            fact: F = self._facts[kind]
        except KeyError:
            raise MissingFactError(f"no {kind.__name__} on this exchange") from None
        return fact

    def facts(self) -> Iterable[object]:
        """Every fact, in the order in which they were put."""
        return self._facts.values()

    def forget(self, kind: type[Any]) -> None:
        """Let go of the fact of this type. The host does so with bodies, once they have been judged."""
        self._facts.pop(kind, None)

    def want_response(self, body: ResponseBody) -> None:
        """Ask for the response on this exchange. Only a policy that overrides `on_response_body` may ask."""
        self.response_wanted = max(self.response_wanted, body)

    def flag(self, name: str) -> None:
        """Mark the exchange: a snake_case word of at most 64 characters. It travels to settlement with the verdict, also
        with a refusal, and stands in `Completion.marks` and in the log. Behind the verdict it is too late for it.

        Raises:
            ValueError: it is no such word.
        """
        if name not in self.marks:
            if not _MARK.fullmatch(name):
                raise ValueError(f"expected a snake_case word of at most 64 characters, not {name[:80]!r}")
            self.marks = (*self.marks, name)

    def tell(self, name: str, value: str) -> None:
        """Add a header field to the client's answer, whoever gives it: the upstream, or the gateway by a verdict. Of
        several values for one name the last counts. Behind the verdict it is too late for it.

        `name`: one of the `response_fields` of a policy in the chain; any other is dropped. `value`: visible ASCII, with
        spaces only inside, 1 to 256 characters.

        Raises:
            ValueError: it is no such value.
        """
        # Six of them for each exchange: a regular expression takes twice as long.
        if not (0 < len(value) <= _VALUE_LIMIT and value.isascii() and value.isprintable() and value.strip(" ") == value):
            raise ValueError(f"the response field {name[:80]!r} cannot have this value")
        told = self.told
        if told is None:
            told = self.told = {}
        told[name] = value

    @property
    def explaining(self) -> bool:
        """Whether this is a question of an operator's, and nothing will go up."""
        return self._notes is not None

    def note(self, template: str, *args: object) -> None:
        """Say why, for `sluicegate explain`; costs nothing while nobody listens. %-style, like `logging`."""
        if self._notes is not None:
            self._notes.append(template % args if args else template)

    def take_notes(self) -> list[str]:
        """The notes made since the last call."""
        if self._notes is None:
            return []
        notes = list(self._notes)
        self._notes.clear()
        return notes
