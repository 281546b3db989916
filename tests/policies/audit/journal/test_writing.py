"""The thread: in order, again where it fails, and it ends."""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path

import pytest

from policies.audit.canonical import read
from policies.audit.journal.recovery import Tail
from policies.audit.journal.segment_writer import Batch, SegmentWriter
from policies.audit.journal.slots import hold
from policies.audit.journal.writing import Writing
from tests.policies.audit.journal.written import chain, stored

LINES = chain(30)


def batch(first: int, last: int) -> Batch:
    return Batch(LINES[first - 1 : last], first, last, read(LINES[last - 1]).hash, {})


class Failing(SegmentWriter):
    """Fails so many times, with what is no error of the disk."""

    failing = 0

    def write(self, batch: Batch) -> None:
        if self.failing:
            self.failing -= 1
            raise ValueError("secret")
        super().write(batch)


def begun(folder: Path, every: float, failing: int = 0) -> tuple[Writing, queue.SimpleQueue[tuple[str, bool]]]:
    journal = folder / "gate.0"
    journal.mkdir()
    segments = Failing(journal, Tail(), 1 << 20, 3_600, None, time.time)
    segments.failing = failing
    lock = hold(journal)
    assert lock is not None
    told: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
    writing = Writing(segments, lock, every, lambda trouble, ready: told.put((trouble, ready)))
    writing.start()
    return writing, told


@pytest.mark.parametrize("every", [0.0, 60.0])
def test_batches_are_written_in_order(tmp_path: Path, every: float) -> None:
    writing, told = begun(tmp_path, every)
    for first in (1, 11, 21):
        writing.give(batch(first, first + 9), sync=False)
    rounds = 0
    while rounds < 3:
        trouble, ready = told.get(timeout=5)
        assert trouble == ""
        rounds += ready
    assert stored(tmp_path / "gate.0") == LINES
    assert writing.end(5)
    # It lets go of the journal.
    lock = hold(tmp_path / "gate.0")
    assert lock is not None
    os.close(lock)


def test_what_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writing, told = begun(tmp_path, 0.0, failing=2)
    writing.give(batch(1, 10), sync=False)
    assert [told.get(timeout=5) for _ in range(3)] == [("ValueError", False), ("ValueError", False), ("", True)]
    assert stored(tmp_path / "gate.0") == LINES[:10]
    assert writing.failures == 2
    assert writing.end(5)
    assert [record.message for record in caplog.records] == [
        "the journal cannot be written: ValueError",
        "the journal can be written again",
    ]


def test_it_ends_also_where_it_fails(tmp_path: Path) -> None:
    writing, told = begun(tmp_path, 0.0, failing=10_000)
    writing.give(batch(1, 10), sync=False)
    assert told.get(timeout=5) == ("ValueError", False)
    assert writing.end(5)
    assert stored(tmp_path / "gate.0") == []
