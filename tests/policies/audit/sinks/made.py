"""Records for tests, whole and sealed, and a strategy for any."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hypothesis import strategies as st

from policies.audit.canonical import FIRST, read, seal
from policies.audit.following.sink import SinkError
from policies.audit.record import Closed, Kind, Level, Name, Record, Reserved, Said, Timing, Tokens

MOMENT: Final = "2026-11-21T13:38:23.000001Z"
HARD: Final = (
    "plain",
    "Grüße, Ω, 漢字, 🧭, עברית",
    'quotes " and \\ and ] and [ and =|',
    "lines\nand\r\nreturns\tand tabs",
    "\x00\x01\x1b[31m\x7f\x85\x9b",
    "\u2028\u2029\u202e\u2066\ufeff",
    "12 <134>1 2026-11-21T13:38:23Z host app - - - spoofed",
    "\n<134>1 - - - - - - a frame of its own",
)
"""Text that breaks what is not careful."""


def made(sequence: int = 1, **fields: Any) -> Closed:
    """A record as the reader gives it."""
    whole: dict[str, Any] = {
        "event": Name.CLOSED,
        "journal": "gateway-1.0",
        "kind": Kind.CLOSING,
        "level": Level.INFO,
        "previous": FIRST,
        "schema": 1,
        "sequence": sequence,
        "timestamp": MOMENT,
    }
    line, _ = seal(Record(**(whole | fields)))
    return read(line)


def full(sequence: int = 1, **fields: Any) -> Closed:
    """A record that has a value in every member."""
    texts = {
        name: f"<{name}>"
        for name in Record.__struct_fields__
        if Record.__annotations__[name] == "str" and name not in ("event", "journal", "kind", "level")
    }
    numbers = ("bytes_in", "bytes_out", "first_byte_us", "latency_ms", "latency_us", "lost")
    values: dict[str, Any] = {
        **texts,
        **{name: index for index, name in enumerate(numbers, 1)},
        "status": 429,
        "requests": 1,
        "accounts": ("acme", "*"),
        "decisions": (Said("limit", True, "reject", "limits", "too many"),),
        "flags": ("URX",),
        "marks": ("slow",),
        "roles": ("Admin", "User"),
        "params": {"temperature": "0.5", "max_tokens": 7},
        "redacted": True,
        "stream": True,
        "reserved": Reserved(1, 2, 3, 4),
        "tokens": Tokens(1, 2, 3, 4, 5, 10, 12),
        "timings": (Timing(12, "entra"), Timing(0, "access")),
        "cost": "0.001234",
        "dialect": "openai",
        "operation": "chat",
        "result": "refused",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return made(sequence, **(values | fields))


_text: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(HARD)
_short: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_values: Final = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_short, inner, max_size=4),
    max_leaves=12,
)
_FREE: Final = tuple(
    name
    for name in Record.__struct_fields__
    if Record.__annotations__[name] == "str" and name not in ("event", "journal", "kind", "level")
)
records: Final[st.SearchStrategy[Closed]] = st.builds(
    lambda base, texts: made(**(texts | base)),
    st.fixed_dictionaries(
        {
            "sequence": st.integers(1, 2**53 - 1),
            "journal": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255),
            "event": st.sampled_from(Name) | _short.filter(bool),
            "level": st.sampled_from(Level) | st.sampled_from(["", "odd"]),
            "params": st.dictionaries(_short, _values, max_size=6),
            "roles": st.lists(_text, max_size=5).map(tuple),
            "status": st.sampled_from([0, 200, 429, 503]),
            "decisions": st.lists(st.builds(Said, code=_text, why=_text), max_size=3).map(tuple),
            "tokens": st.none() | st.builds(Tokens, input=st.integers(0, 2**40), output=st.integers(0, 2**40)),
        }
    ),
    st.dictionaries(st.sampled_from(_FREE), _text, max_size=12),
)
"""Any record that a journal can hold."""


def big(size: int, sequence: int = 1) -> Closed:
    """A record whose line is about so many bytes long, in letters of two bytes."""
    return made(sequence, params={"messages": "ü" * (size // 2)})


async def insist(sink: Any, batch: Sequence[Closed], patience: float = 30.0) -> None:
    """Deliver as a follower does: again, until it is taken."""
    async with asyncio.timeout(patience):
        while True:
            try:
                await sink.deliver(batch)
            except SinkError:
                await asyncio.sleep(0.05)
            else:
                return


def ids(batch: Iterable[Closed]) -> set[tuple[str, int]]:
    return functools.reduce(operator.or_, ({(closed.record.journal, closed.record.sequence)} for closed in batch), set())
