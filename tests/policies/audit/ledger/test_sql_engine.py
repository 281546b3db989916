from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from policies.audit.following.sink import SinkError
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import (
    NeverStoredError,
    connect,
    file_of,
    make_file,
    transaction,
    translated,
    translation,
)


def wrapped(error: Exception) -> SQLAlchemyError:
    return DBAPIError("INSERT", {"secret": "hunter2"}, error, hide_parameters=True)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (psycopg.errors.DeadlockDetected("deadlock"), SinkError, "the ledger: DeadlockDetected (40P01)"),
        (psycopg.errors.SerializationFailure("x"), SinkError, "the ledger: SerializationFailure (40001)"),
        (psycopg.errors.QueryCanceled("timeout"), SinkError, "the ledger: QueryCanceled (57014): timeout"),
        (psycopg.errors.DiskFull("no space"), SinkError, "the ledger: DiskFull (53100): no space"),
        (psycopg.errors.UndefinedColumn("x"), SinkError, "the ledger: UndefinedColumn (42703)"),
        (psycopg.OperationalError("refused\nmore"), SinkError, "the ledger: OperationalError: refused"),
        (psycopg.errors.NumericValueOutOfRange("hunter2"), NeverStoredError, "NumericValueOutOfRange (22003)"),
        (psycopg.errors.UniqueViolation("hunter2"), NeverStoredError, "UniqueViolation (23505)"),
        (psycopg.errors.ProgramLimitExceeded("hunter2"), NeverStoredError, "ProgramLimitExceeded (54000)"),
        (sqlite3.OperationalError("database is locked"), SinkError, "the ledger: OperationalError: database is locked"),
        (sqlite3.IntegrityError("hunter2"), NeverStoredError, "IntegrityError"),
    ],
)
def test_what_faults_mean(error: Exception, kind: type[Exception], words: str) -> None:
    found = translation(wrapped(error))
    assert (type(found), str(found)) == (kind, words)


def test_faults_beside_the_driver() -> None:
    assert str(translation(InvalidRequestError("hunter2"))) == "the ledger: InvalidRequestError"
    with pytest.raises(NeverStoredError, match="OverflowError"), translated():
        raise OverflowError("hunter2")


def test_a_transaction_is_whole(settings: LedgerSettings) -> None:
    engine = connect(settings)
    with transaction(engine, writes=True) as connection:
        connection.execute(text("CREATE TABLE t (n integer)"))
    with pytest.raises(SinkError):
        _insert_in_vain(engine)
    with transaction(engine, writes=False) as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
    engine.dispose()


def _insert_in_vain(engine: Engine) -> None:
    with transaction(engine, writes=True) as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))


def test_sqlite_is_as_durable_as_the_journal(tmp_path: Path) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/l.db"))
    assert file_of(engine) == tmp_path / "l.db"
    make_file(engine)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        # 2 is FULL: what is committed is on the disk.
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    engine.dispose()


def test_writers_of_sqlite_wait_for_each_other_and_not_for_ever(tmp_path: Path) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/l.db", timeout=0.1))
    with (
        transaction(engine, writes=True),
        pytest.raises(SinkError, match="database is locked"),
        transaction(engine, writes=True),
    ):
        pass
    engine.dispose()


def test_postgresql_gives_up_in_time(database: str) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=database, timeout=0.2))
    with pytest.raises(SinkError, match="QueryCanceled"), transaction(engine, writes=False) as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    with transaction(engine, writes=False) as connection:
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
    assert file_of(engine) is None
    engine.dispose()


def test_a_secret_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEDGER_URL", raising=False)
    settings = LedgerSettings.model_validate({"kind": "ledger", "url": {"env": "LEDGER_URL"}})
    with pytest.raises(SinkError, match="environment variable LEDGER_URL is empty or missing"):
        connect(settings)
