"""The ledger, for who reads it: a connection of its own, and questions without a word of SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TypeVar

from sqlalchemy import Connection, Engine

from policies.audit.following.sink import SinkError
from policies.audit.ledger import sql_queries
from policies.audit.ledger.queries import Amount, Entry, Question, Usage
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import NeverStoredError, connect, file_of, transaction
from policies.audit.ledger.sql_migrations import check, migrate

_T = TypeVar("_T")


class Reading:
    """What can be asked. A context manager; every method raises `SinkError` where the database does not answer."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._engine = connect(settings)

    def __enter__(self) -> Reading:
        try:
            _must_exist(self._engine)
            check(self._engine)
        except BaseException:
            self._engine.dispose()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def usage(self, question: Question) -> list[Usage]:
        """Who used what."""
        return self._ask(lambda connection: sql_queries.usage(connection, question))

    def find(self, identifier: str) -> list[Entry]:
        """Exchanges that have this id, of whatever kind, in the order of their decisions."""
        return self._ask(
            lambda connection: sql_queries.find(
                connection, request_id=identifier, exchange_id=identifier, reservation_id=identifier
            )
        )

    def amounts(self, since: datetime, until: datetime) -> list[Amount]:
        """What every exchange of a period used."""
        return self._ask(lambda connection: list(sql_queries.amounts(connection, since, until)))

    def _ask(self, what: Callable[[Connection], _T]) -> _T:
        try:
            with transaction(self._engine, writes=False) as connection:
                return what(connection)
        except NeverStoredError as error:
            raise SinkError(f"the ledger does not understand the question: {error}") from None


def bring_up_to_date(settings: LedgerSettings) -> tuple[str | None, str]:
    """Make the tables, or bring them up to date: the revision before and after.

    Raises:
        SinkError: the database does not answer, or the tables are newer.
    """
    engine = connect(settings)
    try:
        return migrate(engine)
    finally:
        engine.dispose()


def _must_exist(engine: Engine) -> None:
    """Who reads leaves no empty file behind."""
    path = file_of(engine)
    if path is not None and not path.is_file():
        raise SinkError(f"the ledger: {path}: not there; it is made when the journal is followed")
