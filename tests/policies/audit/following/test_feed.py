"""What a follower reads next."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from policies.audit.following.checkpoint import Checkpoint
from policies.audit.following.feed import Feed, Held
from policies.audit.following.matching import Matcher
from policies.audit.following.settings import Batch
from policies.audit.record import Record
from tests.policies.audit.following.rigs import FakeJournal, Time, id_of


class Rig:
    def __init__(self, folder: Path, *, events: str = "*", records: int = 3, size: int = 65_536) -> None:
        self.time = Time()
        self.checkpoint = Checkpoint(folder, "sink")
        self.feed = Feed(folder, Matcher([events], ["*"]), None, Batch(records=records, bytes=size), self.time)

    def next(self) -> Held | None:
        held = self.feed.next(self.checkpoint.get)
        if held is not None:
            self.checkpoint.put(held.journal, held.after)
        return held

    def all(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        while (held := self.next()) is not None:
            found += [id_of(copy) for _, copy in held.waiting]
        return found

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()


def test_journals_take_turns(tmp_path: Path) -> None:
    for name in ("a.0", "a.1", "b.0"):
        FakeJournal(tmp_path, name).append(6)
    with Rig(tmp_path) as rig:
        taken = [held.journal for _ in range(6) if (held := rig.next()) is not None]
        assert taken == ["a.0", "a.1", "b.0", "a.0", "a.1", "b.0"]
        assert rig.next() is None


def test_a_folder_that_is_not_there_yet_and_journals_that_appear_later(tmp_path: Path) -> None:
    with Rig(tmp_path / "later") as rig:
        assert rig.next() is None
        first = FakeJournal(tmp_path / "later", "a.0")
        assert rig.next() is None
        first.append(2)
        assert rig.all() == [("a.0", 1), ("a.0", 2)]
        FakeJournal(tmp_path / "later", "b.0").append(1)
        first.rotate()
        first.append(1)
        assert sorted(rig.all()) == [("a.0", 3), ("b.0", 1)]


def test_a_line_that_is_not_whole_yet_is_left(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    journal.append(1)
    late = journal.seal()
    with journal.segment.open("ab") as file:
        file.write(late.line[:40])
    with Rig(tmp_path) as rig:
        assert rig.all() == [("gw.0", 1)]
        with journal.segment.open("ab") as file:
            file.write(late.line[40:] + b"\n")
        journal.head()
        assert rig.all() == [("gw.0", 2)]


def test_what_is_not_wanted_is_passed_over(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    journal.append(3, event="request.allowed")
    journal.append(1, event="limit.changed")
    with Rig(tmp_path, events="limit.*") as rig:
        passed = rig.next()
        assert passed is not None
        assert passed.waiting == []
        assert passed.oldest() is None
        assert rig.all() == [("gw.0", 4)]


def test_a_broken_journal_keeps_no_other_from_being_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = FakeJournal(tmp_path, "a.0"), FakeJournal(tmp_path, "b.0")
    broken.append(4)
    intact = broken.segment.read_bytes()
    broken.segment.write_bytes(intact.replace(b'"sequence":3', b'"sequence":4'))
    whole.append(4)
    with Rig(tmp_path) as rig:
        assert sorted(rig.all()) == [("a.0", 1), ("a.0", 2), *(("b.0", n) for n in range(1, 5))]
        assert list(rig.feed.broken) == ["a.0"]
        assert "record 3" in rig.feed.broken["a.0"]
        assert caplog.text.count("cannot be read on") == 1
        broken.segment.write_bytes(intact)
        rig.time.now += 60
        assert rig.all() == [("a.0", 3), ("a.0", 4)]
        assert rig.feed.broken == {}


def test_a_batch_is_bounded_by_bytes_once_lines_are_known(tmp_path: Path) -> None:
    FakeJournal(tmp_path).append(200, why="x" * 4_000)
    with Rig(tmp_path, records=1_000, size=20_000) as rig:
        sizes = []
        while (held := rig.next()) is not None:
            sizes.append(sum(len(copy.line) for _, copy in held.waiting))
        assert all(size <= 20_000 for size in sizes[1:])
        assert sizes[0] <= 10 * 5_000


def test_what_retention_removed_too_early_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = FakeJournal(tmp_path)
    journal.append(3)
    with Rig(tmp_path) as rig:
        assert len(rig.all()) == 3
        journal.rotate()
        gone = journal.append(2)
        removed = journal.segment
        journal.rotate()
        journal.append(1)
        removed.unlink()
        removal = {
            "first": 4,
            "sequence": 5,
            "hash": gone[-1].hash,
            "when": gone[-1].record.timestamp,
            "why": "retention",
        }
        (journal.folder / "removed.json").write_bytes(msgspec.json.encode({"removed": [removal]}))
        assert rig.all() == [("gw.0", 6)]
        assert rig.feed.missed == 2
    assert "2 records of the journal gw.0 were removed before they were delivered" in caplog.text


class Clumsy:
    def record(self, record: Record) -> Record:
        if record.sequence == 2:
            raise ValueError("of user-17")
        return record


def test_what_cannot_be_redacted_goes_to_no_sink(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FakeJournal(tmp_path).append(3)
    feed = Feed(tmp_path, Matcher(["*"], ["*"]), Clumsy(), Batch(), Time())
    held = feed.next(Checkpoint(tmp_path, "sink").get)
    assert held is not None
    assert [id_of(copy)[1] for _, copy in held.waiting] == [1, 3]
    assert [id_of(closed)[1] for closed in held.unfit] == [2]
    assert "user-17" not in caplog.text
    feed.close()
