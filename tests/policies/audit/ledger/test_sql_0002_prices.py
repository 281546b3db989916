from __future__ import annotations

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import insert, select, text

from policies.audit.ledger.migrations.sql_0002_prices import downgrade, revision
from policies.audit.ledger.rows import usage_row
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_migrations import VERSION_TABLE, migrate, scripts
from policies.audit.ledger.sql_tables import USAGE
from tests.policies.audit.ledger.histories import closing

NEW = ("price", "cache_write_1h", "audio_input", "audio_output", "tool_calls")


def test_rows_that_are_there_keep_what_they_have(settings: LedgerSettings) -> None:
    engine = connect(settings)
    script = scripts()
    with (
        engine.begin() as connection,
        EnvironmentContext(Config(), script, fn=lambda at, _: script._upgrade_revs("0001", at)) as environment,
    ):
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
    row = usage_row(closing().record)
    with engine.begin() as connection:
        former = {name: value for name, value in row.items() if name not in NEW}
        connection.execute(insert(USAGE).values(former).inline())
    assert migrate(engine) == ("0001", scripts().get_current_head())
    with engine.connect() as connection:
        found = dict(connection.execute(select(USAGE)).mappings().one())
        assert connection.execute(text("SELECT count(*) FROM usage WHERE price IS NULL")).scalar_one() == 0
    engine.dispose()
    assert {name: found[name] for name in former} == former
    assert [found[name] for name in NEW] == ["", 0, 0, 0, 0]


def test_there_is_no_way_back() -> None:
    assert revision == "0002"
    with pytest.raises(NotImplementedError):
        downgrade()
