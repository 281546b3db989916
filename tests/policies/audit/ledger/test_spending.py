from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from extproc.catalogue import Catalogue
from extproc.policy import Surroundings
from extproc.spending import Question, SpendingError, Spent
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.spending import spent
from policies.audit.policy import AuditPolicy
from policies.audit.settings import AuditSettings
from tests.policies.audit.ledger.stocked import fill

QUESTION = Question(("model",), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


async def all_of(sinks: list[object]) -> list[Spent]:
    return [one async for one in spent(sinks, QUESTION)]


@pytest.fixture
def stocked(tmp_path: Path) -> LedgerSettings:
    ledger = LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/ledger.db")
    fill(ledger)
    return ledger


async def test_the_first_ledger_answers(stocked: LedgerSettings, tmp_path: Path) -> None:
    other = LedgerSettings(kind="ledger", name="other", url=f"sqlite:///{tmp_path}/other.db")
    found = await all_of([object(), stocked, other])
    assert [(one.by["model"], one.dollars) for one in found] == [
        ("claude", 1_000_001),
        ("gpt-5", 300_001),
        ("local", None),
    ]


async def test_without_a_ledger() -> None:
    with pytest.raises(SpendingError, match="the policy `audit` keeps no ledger"):
        await all_of([])


async def test_without_a_driver(stocked: LedgerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "policies.audit.ledger.sql_spending", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(SpendingError, match="the ledger needs sqlalchemy, which is not installed"):
        await all_of([stocked])


async def test_the_policy_is_asked_and_not_started(stocked: LedgerSettings, tmp_path: Path) -> None:
    settings = AuditSettings.model_validate(
        {"journal": {"folder": str(tmp_path / "journal")}, "sinks": [stocked.model_dump(exclude_defaults=True)]}
    )
    policy = AuditPolicy.build(settings, Surroundings(Catalogue(), lambda: 0.0))
    assert AuditPolicy.overrides("spending")
    assert sum([one.requests async for one in policy.spending(QUESTION)]) == 8
    assert not (tmp_path / "journal").exists()
