"""A ledger on each kind of database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.audit.ledger.settings import LedgerSettings
from tests.policies.audit.ledger.postgres import Postgres, running_postgres

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests. Who kills it starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of a database of one's own in PostgreSQL."""
    name = f"ledger_{next(_NUMBERS)}"
    url = postgres.create(name)
    yield url
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerSettings:
    """Of an empty ledger on each kind of database in turn."""
    url = request.getfixturevalue("database") if request.param == "postgresql" else f"sqlite:///{tmp_path}/ledger.db"
    return LedgerSettings(kind="ledger", url=url, timeout=10)
