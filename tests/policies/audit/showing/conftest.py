"""Journals on a disk, and somebody who types."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policies.audit.showing.journaled import closing, decision, record, refusal, write
from tests.policies.audit.showing.typed import Typed


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """Two journals: three exchanges of two tenants, one of them refused, and a change of a limit."""
    folder = tmp_path / "journal"
    write(
        folder,
        "gw.0",
        [decision(1), closing(1, 1), decision(3, 20, tenant="fabrikam", tenant_id="t-2", user_id="eve\x1b[2J")],
    )
    change = record(15, event="limit.changed", by="root", subject="contoso", before="100", after="200")
    write(folder, "gw.1", [refusal(2, 10), change])
    return folder
