"""A record that is too long for its receiver: its least important members go first, and it says which. Pure.

What is left is still one JSON object. Its `hash` is that of the whole record, which the journal has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

KEPT: Final = ("event", "hash", "journal", "kind", "level", "schema", "sequence", "timestamp")
"""What is never left out: which record it is, and what happened when."""
LEAST_FIRST: Final = (
    *("params", "before", "after", "decisions", "details", "why", "marks", "flags", "roles", "timings"),
    *(
        "service.version",
        "configuration",
        "previous",
        "started",
        "first_byte_us",
        "latency_ms",
        "bytes_in",
        "bytes_out",
        "cache",
        "basis",
        "stream",
    ),
    *("reservation_id", "reserved", "accounts", "requests", "of", "price", "response_model"),
    *("backend", "dialect", "caller", "ended_by", "ending", "operation"),
    *("recovered", "redacted", "lost", "route", "tool", "upstream", "url.path", "http.request.method", "trace_id"),
    *("cost_centre", "department", "tenant_id", "app_id", "session_id", "latency_us", "tokens", "cost", "model"),
    *("subject", "action", "by"),
    *("http.response.status_code", "policy", "request_id", "result", "reason", "decision", "tenant", "user_id"),
    *("exchange_id",),
)
"""All other members of a record. One that stands in neither, of a newer schema, goes before them."""
MARK: Final = "truncated"
"""The member that says what was left out: up to eight names, and `…` for those after them."""
_NAMED: Final = 8
_NAME: Final = 32
"""Bytes of a name in the mark. None of this schema is longer."""
_CLIPPED: Final = 64
"""Bytes to which text among the kept is cut where all else has gone and it is not enough."""


def plain(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def shortened(
    line: bytes, most: int, encode: Callable[[Mapping[str, Any]], bytes] = plain
) -> tuple[bytes, tuple[str, ...]]:
    """The record in `line` in at most `most` bytes, and the names that `truncated` gives: none where it fitted.

    Args:
        line: as it stands in the journal.
        most: at least 800; what is kept needs no more.
        encode: makes an object into JSON. It must not make one longer by making another shorter.
    """
    members: dict[str, Any] = orjson.loads(line)
    whole = encode(members)
    if len(whole) <= most:
        return whole, ()
    gone: list[str] = []
    room = most - len(whole) - _size(MARK, ["x" * _NAME] * (_NAMED + 1), encode)
    for name in _order(members):
        if room >= 0:
            break
        room += _size(name, members.pop(name), encode)
        gone.append(name)
    marked = [_clipped(name, _NAME, encode) for name in gone[:_NAMED]] + ["…"] * (len(gone) > _NAMED)
    members[MARK] = marked
    cut = encode(members)
    if len(cut) > most:
        for name in ("event", "journal", "kind", "level"):
            members[name] = _clipped(str(members.get(name, "")), _CLIPPED, encode)
        cut = encode(members)
    return cut, tuple(marked)


def _order(members: Mapping[str, Any]) -> list[str]:
    rank = {name: index for index, name in enumerate(LEAST_FIRST)}
    return sorted((name for name in members if name not in KEPT), key=lambda name: (rank.get(name, -1), name))


def _size(name: str, value: Any, encode: Callable[[Mapping[str, Any]], bytes]) -> int:
    """Bytes of a member with its comma."""
    return len(encode({name: value})) - 1


def _clipped(text: str, most: int, encode: Callable[[Mapping[str, Any]], bytes]) -> str:
    while len(encode({"": text})) > most + len('{"":""}'):
        text = text[: len(text) // 2]
    return text
