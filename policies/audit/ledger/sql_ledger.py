"""The ledger as a sink: brings batches of records into SQL, each as often as it comes, with the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Engine

from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.ledger.merging import merged
from policies.audit.ledger.rows import Row, UnstorableError, event_row, is_event, usage_row
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import NeverStoredError, connect, transaction
from policies.audit.ledger.sql_migrations import migrate
from policies.audit.ledger.sql_upserts import store
from policies.audit.record import Closed

_MOST_REASONS: Final = 5


class _Rows(msgspec.Struct, frozen=True):
    """What a batch is for the database, by the index of the record."""

    usage: Mapping[int, Row]
    events: Mapping[int, Row]


class Ledger:
    """The SQL ledger, as one of the sinks that follow the journal."""

    def __init__(self, settings: LedgerSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._engine: Engine | None = None

    async def start(self) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            SinkError: the database does not answer; the tables are newer than this version.
        """
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        if self._engine is None:
            self._engine = connect(self._settings)
        migrate(self._engine)

    async def stop(self) -> None:
        """Close the connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.dispose)

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Store what these records tell, in one transaction.

        Raises:
            SinkError: none of it may be stored; the same batch can come again.
            RejectedError: no row can be made of some; all others are stored.
        """
        if self._engine is None:
            raise SinkError("the ledger has not been started")
        await asyncio.to_thread(self._deliver, self._engine, batch)

    def _deliver(self, engine: Engine, batch: Sequence[Closed]) -> None:
        rows, refused = rows_of(batch)
        refused |= _stored(engine, rows, range(len(batch)))
        if refused:
            reasons = list(dict.fromkeys(refused[index] for index in sorted(refused)))
            more = f", and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
            raise RejectedError(sorted(refused), "; ".join(reasons[:_MOST_REASONS]) + more, delivered=len(batch))


def rows_of(batch: Sequence[Closed]) -> tuple[_Rows, dict[int, str]]:
    """The rows of a batch, and why no row can be made of the others. All by index."""
    usage: dict[int, Row] = {}
    events: dict[int, Row] = {}
    refused: dict[int, str] = {}
    for index, closed in enumerate(batch):
        try:
            if is_event(closed.record):
                events[index] = event_row(closed.record)
            else:
                usage[index] = usage_row(closed.record)
        except UnstorableError as error:
            refused[index] = str(error)
    return _Rows(usage, events), refused


def _stored(engine: Engine, rows: _Rows, of: range) -> dict[int, str]:
    """Store the rows with an index in `of`. Which ones the database will never take, and why: found by halving."""
    usage = merged(rows.usage[index] for index in of if index in rows.usage)
    events = [rows.events[index] for index in of if index in rows.events]
    if not usage and not events:
        return {}
    try:
        with transaction(engine, writes=True) as connection:
            store(connection, usage, events)
    except NeverStoredError as error:
        if len(of) == 1:
            return {of.start: f"the database will not take it: {error}"}
        middle = (of.start + of.stop) // 2
        first = _stored(engine, rows, range(of.start, middle))
        return first | _stored(engine, rows, range(middle, of.stop))
    return {}
