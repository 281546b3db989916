"""What the header fields of a request say that metrics need when it has ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extproc.exchange import Headers
from extproc.metrics import NONE, OTHER
from extproc.trace_context import HEADER, client_span
from policies.cost.settings import TagSettings


class Attribution(msgspec.Struct, frozen=True):
    """The fact of what a request says of itself. Travels to settlement.

    Attributes:
        trace: the client's trace; "" where it began none.
        tags: values by position in the settings; none where none is said.
    """

    trace: str = ""
    tags: tuple[str, ...] = ()


class Tags:
    """The configured tags."""

    __slots__ = ("_fields", "names")

    def __init__(self, tags: Iterable[TagSettings]) -> None:
        self.names = tuple(tag.name for tag in tags)
        self._fields = tuple((tag.header, frozenset(tag.values)) for tag in tags)

    def read(self, headers: Headers) -> Attribution | None:
        """What is said; None where it is nothing. A tag that is said twice says nothing that can be believed."""
        told = headers.get(HEADER)
        for name, _ in self._fields:
            if name in headers:
                break
        else:
            # Nearly always. What says nothing would travel for nothing.
            return Attribution(trace) if told is not None and (trace := client_span(told)[0]) else None
        trace = client_span(told)[0] if told is not None else ""
        return Attribution(trace, tuple([self._value(headers, name, known) for name, known in self._fields]))

    @staticmethod
    def _value(headers: Headers, name: str, known: frozenset[str]) -> str:
        said = headers.all(name)
        if not said:
            return NONE
        return said[0] if len(said) == 1 and said[0] in known else OTHER
