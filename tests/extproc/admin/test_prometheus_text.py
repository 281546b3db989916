"""Metrics, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from extproc.admin.prometheus_text import metrics
from extproc.placement import Role, Seat
from extproc.workers.board import Board
from extproc.workers.status import Status

ONE, SETTLE = Seat(1, Role.DECIDE, "unix:/x/1"), Seat(0, Role.SETTLE, "unix:/x/settle")


def samples(board: Board) -> dict[tuple[str, str], float]:
    """Value by name and worker (empty where the series has no such label)."""
    families = text_string_to_metric_families(metrics(board.read(0.0)).decode())
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
