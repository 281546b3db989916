"""What processes say of themselves, by seat and in sum."""

from __future__ import annotations

from extproc.metrics import Metrics
from extproc.placement import Role, Seat
from extproc.workers.board import SILENCE, Board
from extproc.workers.status import Status

ONE = Seat(1, Role.DECIDE, "unix:/x/1")
TWO = Seat(2, Role.DECIDE, "unix:/x/2")
SETTLE = Seat(0, Role.SETTLE, "unix:/x/settle")


def board() -> Board:
    made = Board((ONE, TWO, SETTLE))
    for seat, pid in ((ONE, 11), (TWO, 12), (SETTLE, 10)):
        made.started(seat, pid)
    return made


def test_nobody_is_ready_who_has_not_said_so() -> None:
    overview = board().read(0.0)
    assert not overview.ready
    assert [view.missing for view in overview.views] == [("starting",)] * 3
    assert [view.missing for view in Board((ONE,)).read(0.0).views] == [("no process",)]


def test_one_who_decides_is_enough_and_settlement_is_not() -> None:
    made = board()
    made.heard(SETTLE, 10, Status(), 0.0)
    assert not made.read(0.0).ready
    made.heard(ONE, 11, Status(missing=("entra: no keys",)), 0.0)
    assert not made.read(0.0).ready
    made.heard(ONE, 11, Status(serving=False), 0.0)
    assert made.read(0.0).views[0].missing == ("starting",)
    made.heard(TWO, 12, Status(), 0.0)
    assert made.read(0.0).ready


def test_one_process_for_both_decides() -> None:
    made = Board([seat := Seat(1, Role.BOTH, "unix:/x")])
    made.started(seat, 9)
    made.heard(seat, 9, Status(), 0.0)
    assert made.read(0.0).ready


def test_silence_is_not_readiness() -> None:
    made = board()
    made.heard(ONE, 11, Status(), 100.0)
    assert made.read(100.0 + SILENCE).ready
    late = made.read(100.1 + SILENCE)
    assert not late.ready
    assert late.views[0].missing == ("silent",)
    made.heard(ONE, 11, Status(), 200.0)
    assert made.read(200.0).ready


def test_sums_over_all_and_no_counter_goes_back() -> None:
    made = board()
    made.heard(ONE, 11, Status(counters={"streams": 5, "streams_open": 2}, memory=100), 0.0)
    made.heard(TWO, 12, Status(counters={"streams": 7, "streams_open": 1, "violation_ping": 1}, memory=50), 0.0)
    assert made.read(0.0).totals == {"streams": 12, "streams_open": 3, "violation_ping": 1}
    made.ended(ONE, 11)
    assert made.read(0.0).totals == {"streams": 12, "streams_open": 1, "violation_ping": 1}
    made.started(ONE, 21)
    made.heard(ONE, 21, Status(counters={"streams": 1, "streams_open": 1}, memory=60), 1.0)
    overview = made.read(1.0)
    assert overview.totals == {"streams": 13, "streams_open": 2, "violation_ping": 1}
    assert overview.views[0].counters == {"streams": 6, "streams_open": 1}
    assert [(view.pid, view.starts, view.memory) for view in overview.views] == [(21, 2, 60), (12, 1, 50), (10, 1, 0)]


def test_while_one_replaces_another_the_old_answers_until_the_new_is_promoted() -> None:
    made = board()
    made.heard(ONE, 11, Status(counters={"streams": 5}, memory=100), 0.0)
    made.started(ONE, 21)
    assert made.read(0.0).views[0].pid == 11
    made.heard(ONE, 21, Status(counters={"streams": 1}, memory=10), 0.0)
    made.promoted(ONE, 21)
    during = made.read(0.0).views[0]
    assert (during.pid, during.counters, during.memory) == (21, {"streams": 6}, 110)
    made.ended(ONE, 11)
    after = made.read(0.0).views[0]
    assert (after.pid, after.ready, after.counters, after.memory) == (21, True, {"streams": 6}, 10)


def test_a_candidate_that_dies_takes_nothing_with_it() -> None:
    made = board()
    made.heard(ONE, 11, Status(), 0.0)
    made.started(ONE, 21)
    made.ended(ONE, 21)
    assert (made.read(0.0).views[0].pid, made.read(0.0).views[0].ready) == (11, True)


def counted(amount: int) -> bytes:
    metrics = Metrics()
    metrics.counter("x_total", "X.").add((), amount)
    (piece,) = metrics.take()
    return piece


def gauged(amount: int) -> bytes:
    metrics = Metrics()
    metrics.gauge("x_now", "X.").set(amount)
    (piece,) = metrics.take()
    return piece


def measures(made: Board) -> dict[str, int]:
    return {one.definition.name: sum(row[0] for row in one.rows.values()) for one in made.metrics().metrics}


def test_what_is_counted_stays_when_its_process_ends_and_what_is_measured_goes() -> None:
    made = board()
    for seat, pid in ((ONE, 11), (TWO, 12)):
        made.measured(seat, pid, counted(5))
        made.measured(seat, pid, gauged(5))
    assert measures(made) == {"x_total": 10, "x_now": 10}
    made.ended(ONE, 11)
    assert measures(made) == {"x_total": 10, "x_now": 5}
    made.measured(ONE, 11, counted(5))
    assert measures(made)["x_total"] == 10


def test_nonsense_of_one_process_is_counted() -> None:
    made = board()
    made.measured(ONE, 11, b"nonsense")
    assert (made.metrics().metrics, made.metrics().refused) == ((), 1)


def test_words_of_the_dead_are_not_heard() -> None:
    made = board()
    made.ended(ONE, 11)
    made.heard(ONE, 11, Status(counters={"streams": 5}), 0.0)
    made.promoted(ONE, 11)
    view = made.read(0.0).views[0]
    assert (view.pid, view.counters) == (None, {})


def test_the_document_holds_it_all() -> None:
    made = Board([ONE])
    made.started(ONE, 11)
    made.heard(ONE, 11, Status(missing=("entra: no keys",), counters={"streams": 5}, memory=7), 0.0)
    assert made.read(0.0).document() == {
        "ready": False,
        "memory_bytes": 7,
        "counters": {"streams": 5},
        "workers": [
            {
                "worker": 1,
                "role": "decide",
                "address": "unix:/x/1",
                "pid": 11,
                "ready": False,
                "missing": ["entra: no keys"],
                "starts": 1,
                "memory_bytes": 7,
                "counters": {"streams": 5},
            }
        ],
    }
