"""How far a sink is behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.following.lag import Lag, LagMeter, age, behind
from policies.audit.journal.reader import Position
from tests.policies.audit.following.rigs import NOW, FakeJournal, moment


@pytest.mark.parametrize(
    ("head", "sequence", "records"), [(0, 0, 0), (5, 0, 5), (5, 1, 5), (5, 5, 1), (5, 6, 0), (5, 9, 0)]
)
def test_records(head: int, sequence: int, records: int) -> None:
    assert behind(head, Position(sequence)) == records


@pytest.mark.parametrize(
    ("timestamp", "seconds"), [(moment(NOW - 2.5), 2.5), (moment(NOW + 60), 0.0), ("", 0.0), ("yesterday", 0.0)]
)
def test_seconds(timestamp: str, seconds: float) -> None:
    assert age(timestamp, NOW) == pytest.approx(seconds)


def test_all_journals_count_and_the_oldest_record(tmp_path: Path) -> None:
    first, second = FakeJournal(tmp_path, "a.0"), FakeJournal(tmp_path, "b.0")
    FakeJournal(tmp_path, "c.0")
    first.append(3, timestamp=moment(NOW - 10))
    second.append(1, timestamp=moment(NOW - 40))
    second.append(4, timestamp=moment(NOW - 30))
    first.head()
    second.head()
    meter = LagMeter(tmp_path)
    assert meter.measure({}, None, NOW) == Lag(8, 40.0)
    positions = {"a.0": Position(4, first.segment.stem, first.segment.stat().st_size)}
    assert meter.measure(positions, None, NOW) == Lag(5, 40.0)
    assert meter.measure(positions, ("b.0", moment(NOW - 30)), NOW) == Lag(5, 30.0)
    assert meter.measure(positions, None, NOW + 1) == Lag(5, 41.0)
    done = {"b.0": Position(6, second.segment.stem, second.segment.stat().st_size), **positions}
    assert meter.measure(done, None, NOW) == Lag(0, 0.0)


def test_what_cannot_be_read_is_not_counted(tmp_path: Path) -> None:
    assert LagMeter(tmp_path / "none").measure({}, None, NOW) == Lag(0, 0.0)
    journal = FakeJournal(tmp_path)
    journal.append(2)
    (journal.folder / "head.json").write_bytes(b"{")
    assert LagMeter(tmp_path).measure({}, None, NOW) == Lag(0, 0.0)
    journal.head()
    journal.segment.write_bytes(b"torn\n")
    assert LagMeter(tmp_path).measure({}, None, NOW) == Lag(2, 0.0)
