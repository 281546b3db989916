"""Which records a sink wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.following.matching import Matcher
from tests.policies.audit.following.rigs import FakeJournal


@pytest.mark.parametrize(
    ("events", "tenants", "event", "tenant", "wanted"),
    [
        (["*"], ["*"], "request.closed", "contoso", True),
        (["*"], ["*"], "journal.opened", "", True),
        (["request.*"], ["*"], "request.closed", "contoso", True),
        (["request.*"], ["*"], "journal.gap", "", False),
        (["request"], ["*"], "request.closed", "contoso", False),
        (["a", "request.closed"], ["*"], "request.closed", "contoso", True),
        (["Request.*"], ["*"], "request.closed", "contoso", False),
        (["*"], ["contoso"], "request.closed", "contoso", True),
        (["*"], ["contoso"], "request.closed", "contoso2", False),
        (["*"], ["con*", "fab*"], "request.closed", "fabrikam", True),
        (["*"], ["contoso"], "journal.gap", "", False),
        (["*"], ["contoso", ""], "journal.gap", "", True),
        (["limit.*"], ["fabrikam"], "limit.reached", "contoso", False),
        (["*"], ["con.oso"], "request.closed", "contoso", False),
        (["*"], ["c?ntos[opq]"], "request.closed", "contoso", True),
    ],
)
def test_globs(tmp_path: Path, events: list[str], tenants: list[str], event: str, tenant: str, wanted: bool) -> None:
    record = FakeJournal(tmp_path).seal(event=event, tenant=tenant).record
    assert Matcher(events, tenants).wants(record) is wanted


def test_no_globs_match_nothing(tmp_path: Path) -> None:
    assert not Matcher([], ["*"]).wants(FakeJournal(tmp_path).seal().record)
