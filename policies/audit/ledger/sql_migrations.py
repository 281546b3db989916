"""Brings the ledger's tables to what this version knows, under a lock, by Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text

from policies.audit.following.sink import SinkError
from policies.audit.ledger.sql_engine import NeverStoredError, make_file, transaction

FOLDER: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "ledger_version"
"""Its own, so that the ledger can live beside tables of others."""
_LOCK: Final = 0x534C_5543_4544_4745
"""Of PostgreSQL's advisory locks, the one for this."""


class NewerLedgerError(SinkError):
    """The tables were made by a newer version, which this one would damage."""


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables up to date; nothing where they are. Safe to call from several processes at once.

    Returns:
        The revision before (None where there were no tables) and after.

    Raises:
        SinkError: the database does not answer, or does not let us.
        NewerLedgerError: the tables are newer.
    """
    make_file(engine)
    try:
        with transaction(engine, writes=True) as connection:
            if connection.dialect.name == "postgresql":
                # A new index on a large table takes longer than a batch may.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return _migrate(connection)
    except NeverStoredError as error:
        raise SinkError(f"the ledger's tables cannot be made: {error}") from None


def check(engine: Engine) -> None:
    """See that the tables are those that are known here.

    Raises:
        SinkError: there are none, or they are older.
        NewerLedgerError: they are newer.
    """
    with transaction(engine, writes=False) as connection:
        script = scripts()
        revision = _revision(connection)
        if revision == script.get_current_head():
            return
        if revision is None:
            raise SinkError("the ledger has no tables yet: `sluicegate ledger migrate` makes them")
        _refuse_newer(script, revision)
        raise SinkError(f"the ledger is of revision {revision}: `sluicegate ledger migrate` brings it up to date")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _migrate(connection: Connection) -> tuple[str | None, str]:
    script = scripts()
    newest = script.get_current_head()
    assert newest is not None  # noqa: S101  (the folder is shipped with this module)
    before = _revision(connection)
    if before == newest:
        return before, newest
    if before is not None:
        _refuse_newer(script, before)

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs(newest, revision)

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
    return before, newest


def scripts() -> ScriptDirectory:
    """The steps, as they are shipped."""
    return ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])


def _refuse_newer(script: ScriptDirectory, revision: str) -> None:
    try:
        script.get_revision(revision)
    except CommandError:
        raise NewerLedgerError(
            f"the ledger is of revision {revision}, and {script.get_current_head()} is the newest that is known here:"
            " upgrade Sluicegate"
        ) from None
