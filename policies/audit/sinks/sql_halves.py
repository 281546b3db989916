"""Halves of exchanges that wait for the other one, in a file of SQLite beside the journals. Edge: sqlite3 ends here.

A sink that is brought a decision has, as far as its follower knows, got it: the checkpoint goes on. Its closing may come
an hour later, and out of another journal. So the decision is on disk before the checkpoint says that it has arrived, and
what waits takes no memory, however many do: where a sink was away, journals are caught up with one after the other, and
closings may be a million records behind their decisions.

Halves that have found each other stay a while: the follower may bring the same records again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.following.sink import SinkError
from policies.audit.record import Closed, Record
from policies.audit.sinks.exchanges import Exchange, is_half

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS half (
    exchange TEXT NOT NULL,
    kind TEXT NOT NULL,
    request TEXT NOT NULL,
    line BLOB NOT NULL,
    since REAL NOT NULL,
    told INTEGER,
    PRIMARY KEY (exchange, kind)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS asked ON half (request) WHERE kind = 'decision' AND told IS NULL AND request <> '';
CREATE INDEX IF NOT EXISTS waiting ON half (kind, since) WHERE told IS NULL;
CREATE INDEX IF NOT EXISTS told ON half (told) WHERE told IS NOT NULL;
CREATE TABLE IF NOT EXISTS total (records INTEGER NOT NULL);
INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM total);
"""
_PUT: Final = """
INSERT INTO half VALUES (?, ?, ?, ?, ?, NULL)
ON CONFLICT (exchange, kind) DO UPDATE SET request = excluded.request, line = excluded.line, since = excluded.since
"""
PATIENCE: Final = 3_600.0
"""Seconds after which a closing is told without its decision. The finisher writes what is missing within a minute."""
_FORGOTTEN: Final = 90_000.0
"""Seconds after which a decision is given up. No exchange is waited for so long: `close_after` is at most a day."""
_AT_ONCE: Final = 100
_BUSY: Final = 5.0


class Halves:
    """One for each sink. May be used by several threads, one at a time; `audit replay` may have it open as well."""

    def __init__(self, path: Path, again: int) -> None:
        """`again`: how many records may be brought a second time, at most."""
        self._path = path
        self._again = again
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """
        Raises:
            SinkError: the file cannot be made or read.
        """
        with self._asked() as _:
            pass

    def close(self) -> None:
        with self._lock:
            database, self._database = self._database, None
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    database.close()

    def decision(self, exchange: str) -> Record | None:
        """Raises as `open`, as all of them do."""
        return self._one("SELECT line FROM half WHERE exchange = ? AND kind = 'decision'", exchange)

    def closing(self, exchange: str) -> Record | None:
        return self._one("SELECT line FROM half WHERE exchange = ? AND kind = 'closing'", exchange)

    def asked(self, request: str) -> Record | None:
        return self._one(
            "SELECT line FROM half WHERE request = ? AND kind = 'decision' AND told IS NULL AND request <> ''", request
        )

    def overdue(self, now: float) -> list[Exchange]:
        """Closings that have waited too long, the oldest first. `now`: seconds since the epoch."""
        with self._asked() as database:
            rows = database.execute(
                "SELECT line FROM half WHERE kind = 'closing' AND told IS NULL AND since < ? ORDER BY since LIMIT ?",
                (now - PATIENCE, _AT_ONCE),
            ).fetchall()
        return [Exchange(None, _record(line)) for (line,) in rows]

    def took(self, batch: Sequence[Closed], told: Sequence[Exchange], now: float) -> None:
        """These records have arrived, and these exchanges were told. On disk when it returns."""
        halves = [closed for closed in batch if is_half(closed.record)]
        with self._asked() as database, database:
            database.executemany(
                _PUT,
                [(one.record.exchange_id, str(one.record.kind), one.record.request_id, one.line, now) for one in halves],
            )
            database.execute("UPDATE total SET records = records + ?", (len(batch),))
            [(total,)] = database.execute("SELECT records FROM total")
            names = [{each.closing.exchange_id, each.id} for each in told if not each.closing.recovered]
            # Of one that was closed because nothing was heard of it, the end may come yet: its decision stays.
            database.executemany(
                "UPDATE half SET told = ? WHERE exchange = ?", [(total, name) for both in names for name in both]
            )
            database.executemany(
                "UPDATE half SET told = ? WHERE exchange = ? AND kind = 'closing'",
                [(total, each.closing.exchange_id) for each in told if each.closing.recovered],
            )
            database.execute("DELETE FROM half WHERE told < ?", (total - self._again,))
            database.execute(
                "DELETE FROM half WHERE kind = 'decision' AND told IS NULL AND since < ?", (now - _FORGOTTEN,)
            )

    def count(self) -> int:
        """How many are kept."""
        with self._asked() as database:
            [(count,)] = database.execute("SELECT count(*) FROM half")
        return int(count)

    def _one(self, query: str, name: str) -> Record | None:
        with self._asked() as database:
            row = database.execute(query, (name,)).fetchone()
        return _record(row[0]) if row is not None else None

    @contextlib.contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._database is None:
                    self._database = self._opened()
                yield self._database
            except (sqlite3.Error, OSError) as error:
                database, self._database = self._database, None
                if database is not None:
                    with contextlib.suppress(sqlite3.Error):
                        database.close()
                raise SinkError(f"{self._path}: {type(error).__name__}: {str(error)[:100]}") from None

    def _opened(self) -> sqlite3.Connection:
        # Lines of the journal are in it, which is nobody else's either.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=_BUSY, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        return database


def _record(line: bytes) -> Record:
    """Without its hash: what a sink was given may be a redacted copy, and is not verified here."""
    return msgspec.json.decode(line, type=Record)
