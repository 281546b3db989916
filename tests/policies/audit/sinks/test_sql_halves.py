"""What waits, on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.audit.following.sink import SinkError
from policies.audit.sinks.exchanges import Exchange, completed
from policies.audit.sinks.sql_halves import PATIENCE, Halves
from tests.policies.audit.sinks.made import made
from tests.policies.audit.sinks.trace_receiver import both, closing, decision, exchange_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "langfuse.halves.db"


@pytest.fixture
def halves(path: Path) -> Iterator[Halves]:
    made = Halves(path, again=10)
    yield made
    made.close()


def exchange(number: int) -> Exchange:
    decided, ended = both(number)
    return Exchange(decided.record, ended.record)


def test_what_was_taken_is_there_for_the_next_process(path: Path, halves: Halves) -> None:
    halves.took([decision(1, why='"\u2028 漢字'), made(9, kind="event", exchange_id=exchange_id(1))], [], 1_000.0)
    halves.close()
    again = Halves(path, again=10)
    again.open()
    assert again.decision(exchange_id(1)) == decision(1, why='"\u2028 漢字').record
    assert again.closing(exchange_id(1)) is None
    assert again.decision(exchange_id(2)) is None
    assert again.count() == 1
    again.close()


def test_nobody_else_reads_it(path: Path, halves: Halves) -> None:
    halves.took(both(1), [], 1_000.0)
    modes = {name: stat.S_IMODE(os.stat(path.parent / name).st_mode) for name in os.listdir(path.parent)}
    assert modes
    assert set(modes.values()) == {0o600}


def test_a_decision_is_found_by_its_request_as_long_as_nothing_is_told_of_it(halves: Halves) -> None:
    halves.took([decision(1), decision(2, request_id="")], [], 1_000.0)
    assert halves.asked("request-1") == decision(1).record
    assert halves.asked("") is None
    halves.took([closing(1)], [exchange(1)], 1_001.0)
    assert halves.asked("request-1") is None


def test_what_was_told_stays_as_long_as_it_may_come_again(halves: Halves) -> None:
    halves.took(both(1), [exchange(1)], 1_000.0)
    halves.took([decision(number) for number in range(2, 12)], [], 1_001.0)
    assert [one.index for one in completed([closing(1)], halves)] == [0]
    halves.took([decision(20)], [], 1_002.0)
    assert halves.decision(exchange_id(1)) is None
    assert halves.closing(exchange_id(1)) is None
    # Those of which nothing was told have not gone.
    assert halves.count() == 11


def test_of_what_was_closed_because_nothing_was_heard_the_end_may_come(halves: Halves) -> None:
    lost = closing(1, recovered="closing")
    halves.took([decision(1), lost], [Exchange(decision(1).record, lost.record)], 1_000.0)
    halves.took([made(number) for number in range(3, 50)], [], 1_001.0)
    assert halves.closing(exchange_id(1)) is None
    [late] = completed([closing(1)], halves)
    assert late.exchange.decision == decision(1).record


def test_closings_that_nobody_decided_are_overdue_the_oldest_first(halves: Halves) -> None:
    halves.took([closing(2)], [], 1_000.0)
    halves.took([closing(1), decision(3)], [], 1_001.0)
    assert halves.overdue(1_000.0 + PATIENCE) == []
    assert halves.overdue(1_002.0 + PATIENCE) == [Exchange(None, closing(number).record) for number in (2, 1)]
    halves.took([], [Exchange(None, closing(2).record)], 1_003.0)
    assert halves.overdue(1_002.0 + PATIENCE) == [Exchange(None, closing(1).record)]


def test_a_decision_that_is_never_closed_is_given_up(halves: Halves) -> None:
    halves.took([decision(1)], [], 1_000.0)
    halves.took([decision(2)], [], 1_000.0 + 89_000)
    assert halves.count() == 2
    halves.took([], [], 1_000.0 + 90_001)
    assert halves.count() == 1


def test_two_processes_may_have_it_open(path: Path, halves: Halves) -> None:
    other = Halves(path, again=10)
    halves.took([decision(1)], [], 1_000.0)
    other.took([decision(2)], [], 1_000.0)
    assert halves.decision(exchange_id(2)) is not None
    assert other.decision(exchange_id(1)) is not None
    other.close()


def test_what_is_wrong_is_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    halves = Halves(folder / "x.db", again=1)
    with pytest.raises(SinkError, match=r"x\.db: FileNotFoundError"):
        halves.open()
    folder.mkdir()
    (folder / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SinkError, match=r"x\.db: DatabaseError: file is not a database"):
        halves.open()
    (folder / "x.db").unlink()
    halves.open()
    assert halves.count() == 0
    halves.close()
