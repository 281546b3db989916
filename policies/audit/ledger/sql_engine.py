"""The connection to the ledger's database: SQLite or PostgreSQL, and what their faults mean."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from policies.audit.following.sink import SinkError
from policies.audit.ledger.settings import LedgerSettings, LedgerUrlError

_WRITES: Final = "ledger_writes"
_NEVER: Final = ("22", "23", "54")
"""Classes of SQLSTATE that say that a row can never be stored: wrong data, a constraint, a limit of the program."""
_NEVER_IN_SQLITE: Final = ("IntegrityError", "DataError", "OverflowError")


class NeverStoredError(Exception):
    """The database will never take one of these rows."""


def connect(settings: LedgerSettings) -> Engine:
    """An engine, which connects when it is used. What it raises holds no parameters: they are of records.

    Raises:
        SinkError: the URL is a secret that is not there, or no URL.
    """
    try:
        url = settings.read_url()
        if urlsplit(url).scheme == "sqlite":
            return _sqlite(url, settings)
        return _postgresql(url, settings)
    except (LedgerUrlError, ArgumentError) as error:
        raise SinkError(str(error) if isinstance(error, LedgerUrlError) else "the ledger's URL is none") from None


def _postgresql(url: str, settings: LedgerSettings) -> Engine:
    wait = int(settings.timeout * 1000)
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=settings.pool,
        max_overflow=0,
        pool_timeout=settings.timeout,
        # A connection that died while nothing was to do is found before it is used.
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": settings.connect_timeout,
            "options": f"-c statement_timeout={wait} -c lock_timeout={wait} -c timezone=UTC",
            "application_name": "sluicegate-ledger",
            # A server that is gone without a word: its connection ends in time as well.
            "tcp_user_timeout": wait,
        },
    )

    # Each statement is one of a few: the server plans it once.
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.prepare_threshold = 2

    return engine


def _sqlite(url: str, settings: LedgerSettings) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": settings.timeout, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # Transactions begin where `begin` says so, and not where the driver thinks.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # What is committed survives the machine: the follower goes on after it.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Who begins by reading and then writes would fail if another has written in between.
        kind = "IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def file_of(engine: Engine) -> Path | None:
    """The file of SQLite; None of another database."""
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


def make_file(engine: Engine) -> None:
    """Make the file of SQLite, which nobody else may read: it tells who asked for what. Nothing where it is there.

    Raises:
        SinkError: it cannot be made.
    """
    path = file_of(engine)
    if path is not None:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise SinkError(f"the ledger: {path}: {error.strerror}") from None


@contextlib.contextmanager
def transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    """A transaction, committed at the end.

    Raises:
        SinkError: the database does not answer, or was in the way of somebody else: try again.
        NeverStoredError: a row that it will never take.
    """
    with translated(), engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Faults of the database in the words of sinks."""
    try:
        yield
    except SQLAlchemyError as error:
        raise translation(error) from None
    except (OverflowError, UnicodeEncodeError) as error:
        raise NeverStoredError(type(error).__name__) from None


def translation(error: SQLAlchemyError) -> SinkError | NeverStoredError:
    """What a fault means. The text has no values: the database's own message may quote what stands in a record."""
    original = error.orig if isinstance(error, DBAPIError) else None
    state = str(getattr(original, "sqlstate", None) or "")
    name = type(original or error).__name__
    told = f"{name} ({state})" if state else name
    if state[:2] in _NEVER or (not state and name in _NEVER_IN_SQLITE):
        return NeverStoredError(told)
    if original is not None and (not state or state[:2] in ("08", "28", "3D", "53", "57")):
        # Of the connection, not of a row: these say which host, database or disk.
        first = str(original).strip().partition("\n")[0]
        told = f"{told}: {first}"
    return SinkError(f"the ledger: {told}")
