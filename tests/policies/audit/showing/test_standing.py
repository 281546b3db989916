"""How sinks stand, for people."""

from __future__ import annotations

import pytest

from policies.audit.following.breaker import BreakerState
from policies.audit.following.status import SinkState, SinkStatus, Status
from policies.audit.showing import standing

WELL = SinkStatus(state=SinkState.FOLLOWING, delivered=12_000)
DOWN = SinkStatus(
    state=SinkState.RETRYING,
    behind_records=1_500,
    behind_seconds=7_800,
    breaker=BreakerState.HALF_OPEN,
    dead_letters=2,
    dead_letter_bytes=2_048,
    error="connection refused",
    failures=9,
)


@pytest.mark.parametrize(
    ("sink", "cells", "style"),
    [
        (WELL, ("siem", "following", "-", "-", "closed", "-", "12,000", "0"), None),
        (DOWN, ("siem", "retrying", "1,500 records", "2 h 10 min", "half open", "2 (2 KiB)", "0", "9"), "yellow"),
        (SinkStatus(state=SinkState.STOPPED), ("siem", "stopped", "-", "-", "closed", "-", "0", "0"), "red"),
        (SinkStatus(broken={"gw.0": "cut"}), ("siem", "starting", "-", "-", "closed", "-", "0", "0"), "red"),
        (
            SinkStatus(dead_letters=1, dead_letter_bytes=7),
            ("siem", *("starting", "-", "-"), "closed", "1 (7 B)", "0", "0"),
            "yellow",
        ),
    ],
)
def test_rows(sink: SinkStatus, cells: tuple[str, ...], style: str | None) -> None:
    assert standing.row("siem", sink) == cells
    assert len(cells) == len(standing.COLUMNS)
    assert standing.style(sink) == style


@pytest.mark.parametrize(("size", "shown"), [(3 << 20, "3 MiB"), (5 << 30, "5 GiB")])
def test_sizes(size: int, shown: str) -> None:
    assert standing.row("siem", SinkStatus(dead_letters=1, dead_letter_bytes=size))[5] == f"1 ({shown})"


def test_remarks() -> None:
    status = Status(pid=7, sinks={"siem": DOWN, "file": SinkStatus(broken={"gw.0": "record 4: gone"})}, time=1_000)
    assert standing.remarks(status, 1_001) == [
        "file: gw.0 cannot be read on: record 4: gone",
        "siem: connection refused",
        "siem: `sluicegate audit replay siem` delivers its dead letters again",
    ]
    assert (
        standing.remarks(status, 1_120)[0]
        == "nobody follows the journals now: what stands above was written 2 min ago by process 7"
    )


@pytest.mark.parametrize(
    ("sinks", "age", "well"),
    [
        ({"a": WELL}, 1, True),
        ({}, 1, True),
        ({"a": WELL}, 60, False),
        ({"a": WELL, "b": DOWN}, 1, False),
        ({"a": SinkStatus(dead_letters=1)}, 1, False),
        ({"a": SinkStatus(broken={"gw.0": ""})}, 1, False),
        ({"a": SinkStatus(state=SinkState.STOPPED)}, 1, False),
        ({"a": SinkStatus(behind_records=5, state=SinkState.FOLLOWING)}, 1, True),
    ],
)
def test_whether_all_is_well(sinks: dict[str, SinkStatus], age: float, well: bool) -> None:
    assert standing.is_well(Status(pid=7, sinks=sinks, time=1_000), 1_000 + age) is well
