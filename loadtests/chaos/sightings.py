"""What came about of what was asked, counted in the journal: a kind that nobody saw has shown nothing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from policies.audit.record import Kind, Record, Tokens

_NOTHING: Final = Tokens()


def _ended(operation: str, *, stream: bool, ending: str = "answered") -> Callable[[Record], bool]:
    def saw(record: Record) -> bool:
        return (record.operation, record.stream, record.ending) == (operation, stream, ending) and _used(record).total > 0

    return saw


def _told(operation: str, *names: str) -> Callable[[Record], bool]:
    """What the answer says of its tokens."""
    return lambda record: record.operation == operation and all(getattr(_used(record), name) for name in names)


def _clamped(operation: str) -> Callable[[Record], bool]:
    return lambda record: record.operation == operation and "output_clamped" in record.marks and _used(record).output > 0


def _used(record: Record) -> Tokens:
    return record.tokens or _NOTHING


SIGHTS: Final[Mapping[str, Callable[[Record], bool]]] = {
    "chat": _ended("chat", stream=False),
    "chat, streamed": _ended("chat", stream=True),
    "chat, client gone midway": _ended("chat", stream=True, ending="client_gone"),
    "chat, upstream cut midway": _ended("chat", stream=True, ending="upstream_cut"),
    "chat, clamped": _clamped("chat"),
    "messages": _ended("messages", stream=False),
    "messages, streamed": _ended("messages", stream=True),
    "messages, client gone midway": _ended("messages", stream=True, ending="client_gone"),
    "messages, upstream cut midway": _ended("messages", stream=True, ending="upstream_cut"),
    "messages, clamped": _clamped("messages"),
    "messages, cache read": _told("messages", "cached_input"),
    "messages, cache written for five minutes": _told("messages", "cache_write"),
    "messages, cache written for an hour": _told("messages", "cache_write_1h"),
    "messages, cache read and written both ways": _told("messages", "cached_input", "cache_write", "cache_write_1h"),
    "messages, searched": _told("messages", "tool_calls"),
    "responses": _ended("responses", stream=False),
    "responses, streamed": _ended("responses", stream=True),
    "responses, client gone midway": _ended("responses", stream=True, ending="client_gone"),
    "responses, clamped": _clamped("responses"),
    "responses, cache read": _told("responses", "cached_input"),
    "responses, reasoned": _told("responses", "reasoning"),
    "responses, searched": _told("responses", "tool_calls"),
    "completions": _ended("completions", stream=False),
    "completions, streamed": _ended("completions", stream=True),
    "completions, clamped": _clamped("completions"),
    "embeddings": _ended("embeddings", stream=False),
    "refused by a limit": lambda record: record.ending == "rejected" and record.status == 429,
    "refused by the upstream": lambda record: record.ending == "answered" and record.status >= 400,
    "without usage, charged as reserved": lambda record: record.basis == "estimate" and _used(record).total > 0,
}
"""What is to be seen of closing records. One may be several."""


def sightings(records: Iterable[Record]) -> Counter[str]:
    """How many closings are of each kind; 0 of those of which there is none."""
    found: Counter[str] = Counter(dict.fromkeys(SIGHTS, 0))
    for record in records:
        if record.kind == Kind.CLOSING:
            found.update(name for name, saw in SIGHTS.items() if saw(record))
    return found
