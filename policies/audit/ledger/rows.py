"""From a record of the journal to a row of the ledger. Pure.

A row of `usage` has two halves. The *decision* half tells who asked for what and what was decided; the *closing* half how
it ended and what it used. Every record of an exchange offers both halves, each with a key that says how good it is: of
all that was offered the half with the smallest key stands (`policies.audit.ledger.merging`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Final, TypeAlias

from policies.audit.record import SCHEMA, Kind, Record, Reserved, Tokens

Row: TypeAlias = dict[str, Any]
"""Values by the name of their column."""

LONGEST: Final = 256
"""Characters of a text that may stand in an index."""
LONGEST_PROSE: Final = 2_000
"""Characters of any other text."""
MOST: Final = 2**63 - 1
UNDECIDED: Final = "none"
_DECIDED: Final = {False: "a", True: "b"}
"""Of the decision half, by whether it is recovered. A closing tells as much as it knows of it, and comes after."""
_TOLD_BY_CLOSING: Final = {False: "c", True: "d"}
_BASES: Final = {"metered": 0, "nothing": 1, "chunks": 2}
"""What was counted goes before what was estimated."""
_REAL: Final = "abcd"
"""The first letters of the keys of closings that were written when it happened, by their basis."""
ADOPTED: Final = "e"
"""The first letter of the key of a closing that came under another exchange's id (`policies.audit.ledger.merging`)."""
_RECOVERED: Final = "fghi"
_NOT_CLOSED: Final = {False: "j", True: "k"}

DECISION_TEXTS: Final = (
    *("request_id", "reservation_id", "trace_id", "tenant", "tenant_id", "department", "cost_centre", "user_id"),
    *("app_id", "caller", "session_id", "route", "model", "operation", "tool", "decision", "reason", "policy"),
    *("configuration", "why"),
)
"""Columns of the decision half that are members of a record by the same name."""
CLOSING_TEXTS: Final = (
    "upstream",
    "backend",
    "response_model",
    "cache",
    "ending",
    "ended_by",
    "details",
    "result",
    "basis",
    "price",
)
TOKENS: Final = (
    *("input", "output", "cached_input", "cache_write", "cache_write_1h", "audio_input", "audio_output", "reasoning"),
    *("total", "weighted"),
)
PROSE: Final = frozenset({"why", "details", "before", "after"})
DECISION: Final = (
    *("decision_key", "at", "decided_at", "decision_journal", "decision_sequence", *DECISION_TEXTS),
    *("reserved_tokens", "reserved_micro"),
)
"""The decision half. `at` is when it was decided, as well as that is known."""
CLOSING: Final = (
    *("closing_key", "closed", "recovered", "closed_at", "closing_journal", "closing_sequence", *CLOSING_TEXTS),
    *("status", "requests", *TOKENS, "tool_calls", "cost_micro", "latency_us", "first_byte_us"),
)
"""The closing half."""
COLUMNS: Final = ("exchange_id", *DECISION, *CLOSING)
EVENT_TEXTS: Final = (
    *("event", "level", "result", "tenant", "tenant_id", "user_id", "app_id", "session_id", "request_id"),
    *("exchange_id", "reservation_id", "model", "policy", "reason", "why", "action", "subject", "before", "after"),
)
EVENT_WORDS: Final = {"by_whom": "by", "of_what": "of"}
"""Columns of events whose members have names that SQL reserves."""
EVENT_COLUMNS: Final = ("journal", "sequence", "at", *EVENT_TEXTS, *EVENT_WORDS, "lost")
_COST: Final = re.compile(r"\d{1,13}(\.\d{1,6})?")


class UnstorableError(ValueError):
    """A record that no row can be made of. The message says why, without what stands in it."""


def is_event(record: Record) -> bool:
    """Whether it stands alone; else it is half of an exchange."""
    return record.kind == Kind.EVENT


def usage_row(record: Record) -> Row:
    """What a decision or a closing tells of its exchange: a value for each of `COLUMNS`.

    Raises:
        UnstorableError: it is of no exchange, or not to be understood.
    """
    if record.kind not in (Kind.DECISION, Kind.CLOSING):
        raise UnstorableError("its kind is not known here")
    if not record.exchange_id:
        raise UnstorableError("it names no exchange")
    at = _checked(record)
    closing = record.kind == Kind.CLOSING
    source = f"{record.timestamp}:{cleaned(record.journal)}:{record.sequence}"
    row: Row = {"exchange_id": cleaned(record.exchange_id)}
    row.update(_decision_texts(record))
    row["decision"] = row["decision"] or UNDECIDED
    reserved = record.reserved or _NOTHING_RESERVED
    row["reserved_tokens"] = _whole(reserved.tokens)
    row["reserved_micro"] = None if reserved.dollars is None else _whole(reserved.dollars)
    row["decision_key"] = (_TOLD_BY_CLOSING if closing else _DECIDED)[bool(record.recovered)] + source
    row["at"] = at
    row["decided_at"] = None if closing else at
    row["decision_journal"] = None if closing else cleaned(record.journal)
    row["decision_sequence"] = None if closing else record.sequence
    row.update(_closing_texts(record))
    row["closed"] = closing
    row["recovered"] = closing and bool(record.recovered)
    row["closing_key"] = _closing_rank(record, closing=closing) + source
    row["closed_at"] = at if closing else None
    row["closing_journal"] = cleaned(record.journal) if closing else None
    row["closing_sequence"] = record.sequence if closing else None
    row["status"], row["requests"] = _whole(record.status), _whole(record.requests)
    used = record.tokens or _NOTHING_USED
    row.update(zip(_COUNTED, _wholes(_counted(used)), strict=True))
    row["cost_micro"] = micro(record.cost)
    row["latency_us"], row["first_byte_us"] = _whole(record.latency_us), _whole(record.first_byte_us)
    return row


class _Texts:
    """Some members of a record, all at once: nearly always there is nothing in any of them to clean."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._longest = [LONGEST_PROSE if name in PROSE else LONGEST for name in names]
        self._read: Callable[[Record], Sequence[str]] = attrgetter(*names)

    def __call__(self, record: Record) -> Iterator[tuple[str, str]]:
        values = self._read(record)
        if max(map(len, values)) <= LONGEST and _is_clean("".join(values)):
            return zip(self._names, values, strict=True)
        return zip(self._names, map(cleaned, values, self._longest), strict=True)


_decision_texts: Final = _Texts(DECISION_TEXTS)
_closing_texts: Final = _Texts(CLOSING_TEXTS)
_event_texts: Final = _Texts(EVENT_TEXTS)
_COUNTED: Final = (*TOKENS, "tool_calls")
_counted: Final[Callable[[Tokens], Sequence[int]]] = attrgetter(*_COUNTED)
_NOTHING_USED: Final = Tokens()
_NOTHING_RESERVED: Final = Reserved()


def event_row(record: Record) -> Row:
    """What an event tells: a value for each of `EVENT_COLUMNS`.

    Raises:
        UnstorableError: it is not to be understood.
    """
    row: Row = {"journal": cleaned(record.journal), "sequence": record.sequence, "at": _checked(record)}
    row.update(_event_texts(record))
    for column, name in EVENT_WORDS.items():
        row[column] = cleaned(getattr(record, name))
    row["lost"] = _whole(record.lost)
    return row


def _checked(record: Record) -> datetime:
    """The time of a record of which a row can be made."""
    if record.schema > SCHEMA:
        raise UnstorableError(f"it is of schema {record.schema}, and {SCHEMA} is the newest that is known here")
    _whole(record.sequence)
    try:
        return datetime.fromisoformat(record.timestamp)
    except ValueError:
        raise UnstorableError("its timestamp is in no calendar") from None


def _closing_rank(record: Record, *, closing: bool) -> str:
    if not closing:
        return _NOT_CLOSED[bool(record.recovered)]
    return (_RECOVERED if record.recovered else _REAL)[_BASES.get(record.basis, len(_BASES))]


def is_real_closing(row: Row) -> bool:
    """Whether its closing half is of a closing that was written when it happened, under its own id."""
    return row["closing_key"][0] in _REAL


def cleaned(text: str, longest: int = LONGEST) -> str:
    """`text` as a database takes it: without NUL and lone surrogates, and not too long.

    Texts that are cut stay apart from each other: what was cut off is told by its hash.
    """
    if len(text) <= longest and _is_clean(text):
        return text
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= longest:
        return clean
    digest = hashlib.sha256(clean.encode("utf-8")).hexdigest()[:16]
    return f"{clean[: longest - 17]}~{digest}"


def _is_clean(text: str) -> bool:
    return text.isascii() and "\0" not in text


def micro(cost: str) -> int | None:
    """Micro-dollars of a cost as records have it, in dollars; None where it is not known.

    Raises:
        UnstorableError: no amount, or one with more than six places.
    """
    if not cost:
        return None
    if not _COST.fullmatch(cost) or not cost.isascii():
        raise UnstorableError("its cost is no amount in dollars")
    try:
        return _whole(int(Decimal(cost).scaleb(6)))
    except InvalidOperation:
        raise UnstorableError("its cost is no amount in dollars") from None


def dollars(amount: int) -> Decimal:
    """Dollars of an amount in micro-dollars, exactly."""
    return Decimal(amount).scaleb(-6)


def _whole(value: int) -> int:
    if not -MOST <= value <= MOST:
        raise UnstorableError("one of its numbers is too large")
    return value


def _wholes(values: Sequence[int]) -> Sequence[int]:
    _whole(min(values))
    _whole(max(values))
    return values
