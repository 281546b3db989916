"""Metrics, as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from extproc.admin.prometheus_text import metrics
from extproc.metrics import Metrics
from extproc.placement import Role, Seat
from extproc.workers.board import Board
from extproc.workers.status import Status

ONE, SETTLE = Seat(1, Role.DECIDE, "unix:/x/1"), Seat(0, Role.SETTLE, "unix:/x/settle")


def samples(board: Board) -> dict[tuple[str, str], float]:
    """Value by name and worker (empty where the series has no such label)."""
    families = text_string_to_metric_families(metrics(board.read(0.0), board.metrics())[0].decode())
    found = [sample for family in families for sample in family.samples]
    series = {(one.name, one.labels.get("worker", "")): one.value for one in found}
    assert len(series) == len(found)
    return series


def test_each_worker_and_the_sum_of_all() -> None:
    board = Board((ONE, SETTLE))
    board.started(ONE, 11)
    board.heard(ONE, 11, Status(counters={"streams": 5, "streams_open": 2, "violation_ping": 3}, memory=100), 0.0)
    board.started(SETTLE, 12)
    board.heard(SETTLE, 12, Status(missing=("keys",), counters={"streams": 1, "completions": 7}, memory=50), 0.0)
    found = samples(board)
    assert {name: value for (name, worker), value in found.items() if not worker} == {
        "sluicegate_streams_total": 6,
        "sluicegate_streams_open": 2,
        "sluicegate_completions_total": 7,
        "sluicegate_violations_total": 3,
        "sluicegate_metrics_refused_total": 0,
        "sluicegate_metrics_moved_total": 0,
    }
    assert found["sluicegate_worker_streams_total", "1"] == 5
    assert found["sluicegate_worker_streams_total", "0"] == 1
    assert found["sluicegate_worker_violations_total", "1"] == 3
    assert found["sluicegate_worker_memory_bytes", "1"] == 100
    assert [found["sluicegate_worker_ready", worker] for worker in "10"] == [1, 0]
    assert [found["sluicegate_worker_up", worker] for worker in "10"] == [1, 1]


def test_nothing_goes_back_when_a_worker_is_replaced() -> None:
    board = Board((ONE,))
    board.started(ONE, 11)
    board.heard(ONE, 11, Status(counters={"streams": 5}), 0.0)
    board.ended(ONE, 11)
    gone = samples(board)
    assert (gone["sluicegate_worker_up", "1"], gone["sluicegate_worker_starts_total", "1"]) == (0, 1)
    board.started(ONE, 12)
    board.heard(ONE, 12, Status(counters={"streams": 1}), 0.0)
    found = samples(board)
    assert found["sluicegate_streams_total", ""] == found["sluicegate_worker_streams_total", "1"] == 6
    assert found["sluicegate_worker_starts_total", "1"] == 2


def test_before_anybody_has_spoken_there_is_a_text_all_the_same() -> None:
    assert samples(Board((ONE,)))["sluicegate_worker_up", "1"] == 0


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8", b"\n# EOF\n"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            b"\n# EOF\n",
        ),
        ("application/openmetrics-text;version=x.y", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("application/openmetrics-text;version=1.0.0\r\nx: y", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("text/plain;version=\x00", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, content_type: str, end: bytes) -> None:
    board = Board((ONE,))
    text, said = metrics(board.read(0.0), board.metrics(), accept)
    assert said == content_type
    assert text.endswith(end)


def test_a_metric_does_not_stand_beside_one_of_the_servers_own_name() -> None:
    board = Board((ONE,))
    board.started(ONE, 11)
    board.heard(ONE, 11, Status(counters={"streams": 5}), 0.0)
    theirs = Metrics()
    theirs.counter("sluicegate_streams_total", "Not these.").add()
    theirs.counter("x_total", "These.").add()
    for piece in theirs.take():
        board.measured(ONE, 11, piece)
    found = samples(board)
    assert (found["sluicegate_streams_total", ""], found["x_total", ""]) == (5, 1)
