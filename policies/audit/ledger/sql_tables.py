"""The tables of the ledger, as they are after the last step of `migrations`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Dialect, MetaData, Table, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from policies.audit.ledger.rows import COLUMNS, EVENT_COLUMNS, TOKENS


class Utc(TypeDecorator[datetime]):
    """A time with its zone: `timestamptz` in PostgreSQL; text in UTC in SQLite, in which order is order of time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


KEY: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text whose order is that of its bytes, as in Python and in SQLite."""
_TIMES: Final = frozenset({"at", "decided_at", "closed_at"})
_NUMBERS: Final = frozenset(
    {
        *(
            *TOKENS,
            "tool_calls",
            "reserved_tokens",
            "reserved_micro",
            "cost_micro",
            "latency_us",
            "first_byte_us",
            "lost",
        ),
        *("sequence", "decision_sequence", "closing_sequence", "status", "requests"),
    }
)
_FLAGS: Final = frozenset({"closed", "recovered"})
_KEYS: Final = frozenset({"exchange_id", "decision_key", "closing_key"})
_NULLABLE: Final = frozenset(
    {
        *("decided_at", "decision_journal", "decision_sequence", "closed_at", "closing_journal", "closing_sequence"),
        *("reserved_micro", "cost_micro", "part_of"),
    }
)


def _type(name: str) -> TypeEngine[Any]:
    if name in _TIMES:
        return Utc()
    if name in _NUMBERS:
        return BigInteger()
    if name in _FLAGS:
        return Boolean()
    return KEY if name in _KEYS else Text()


def _columns(names: tuple[str, ...], primary: frozenset[str]) -> list[Column[Any]]:
    return [
        Column(name, _type(name), primary_key=name in primary, nullable=name in _NULLABLE, autoincrement=False)
        for name in names
    ]


METADATA: Final = MetaData()
USAGE: Final = Table("usage", METADATA, *_columns((*COLUMNS, "part_of"), frozenset({"exchange_id"})))
EVENTS: Final = Table("events", METADATA, *_columns(EVENT_COLUMNS, frozenset({"journal", "sequence"})))
