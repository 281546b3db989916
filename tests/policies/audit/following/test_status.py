"""The file that says how sinks stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.following.breaker import BreakerState
from policies.audit.following.status import SinkState, SinkStatus, Status, read_status, write_status
from tests.policies.audit.following.rigs import NOW


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    sink = SinkStatus(
        state=SinkState.RETRYING, breaker=BreakerState.OPEN, behind_records=3, behind_seconds=1.5, broken={"a.0": "why"}
    )
    status = Status(pid=7, sinks={"siem": sink}, time=NOW)
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[1]"])
def test_where_there_is_none_nobody_knows(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_bytes(content)
    assert read_status(tmp_path) is None


@pytest.mark.parametrize(("later", "fresh"), [(0, True), (10, True), (11, False), (-11, False)])
def test_an_old_one_says_that_nobody_follows(later: float, fresh: bool) -> None:
    assert Status(pid=1, sinks={}, time=NOW).is_fresh(NOW + later) is fresh
