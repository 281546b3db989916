from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from policies.audit.following.sink import SinkError
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_migrations import FOLDER, NewerLedgerError, check, migrate, scripts

NEWEST = "0002"


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = :new"), {"new": revision})


def test_from_nothing_and_again(settings: LedgerSettings) -> None:
    engine = connect(settings)
    newest = scripts().get_current_head()
    assert migrate(engine) == (None, newest)
    assert migrate(engine) == (newest, newest)
    assert {"usage", "events", "ledger_version"} <= set(inspect(engine).get_table_names())
    check(engine)
    engine.dispose()


def test_several_at_once(settings: LedgerSettings) -> None:
    engines = [connect(settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(migrate, engines))
    assert sorted(found, key=str) == sorted([(None, NEWEST), *[(NEWEST, NEWEST)] * 3], key=str)
    for engine in engines:
        engine.dispose()


def test_a_newer_ledger_is_left_alone(settings: LedgerSettings) -> None:
    engine = connect(settings)
    migrate(engine)
    set_revision(engine, "9999")
    for what in (migrate, check):
        with pytest.raises(NewerLedgerError, match="of revision 9999, and 0002 is the newest"):
            what(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM ledger_version")).scalar_one() == "9999"
    engine.dispose()


def test_no_tables_to_read(settings: LedgerSettings) -> None:
    engine = connect(settings)
    with pytest.raises(SinkError, match="sluicegate ledger migrate"):
        check(engine)
    engine.dispose()


def test_a_step_that_fails_leaves_nothing(settings: LedgerSettings) -> None:
    engine = connect(settings)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE events (here integer)"))
    with pytest.raises(SinkError):
        migrate(engine)
    assert inspect(engine).get_table_names() == ["events"]
    engine.dispose()


def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/l.db"))
    migrate(engine)
    engine.dispose()
    assert stat.S_IMODE((tmp_path / "l.db").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/no/l.db"))
    with pytest.raises(SinkError, match="No such file or directory"):
        migrate(engine)


def test_every_step_is_named_as_an_edge_and_one_follows_the_other() -> None:
    revisions = [step.revision for step in scripts().walk_revisions()]
    files = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py")
    assert [name[:9] for name in files] == [f"sql_{revision}_" for revision in reversed(revisions)]
