"""The machine loses its power: what was not on the disk is gone, and its numbers are given to other records.

No sink is brought what can still be lost. Where it was lost all the same (a disk that said what was not so, an older copy
in the place of a journal), the sink is brought what is there now, and the log says so.
"""

from __future__ import annotations

import shutil
import tempfile
import time as clock
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.finishing.finisher import Finisher
from policies.audit.journal import JournalSettings, JournalWriter
from policies.audit.journal.heads import read_head
from policies.audit.journal.segments import HEAD, segments
from policies.audit.journal.synced import PATIENCE
from policies.audit.journal.verify import verify
from policies.audit.record import Closed
from tests.policies.audit.following.rigs import FakeJournal, Recorder, Time, follower, until_idle
from tests.policies.audit.journal.written import fields, options, records, write


def unsynced(folder: Path) -> JournalSettings:
    """A journal that is synced when it is opened, and then for a minute no more."""
    return JournalSettings.model_validate(options(folder, instance="gw", sync_ms=60_000))


async def opened(folder: Path, count: int) -> JournalWriter:
    """A worker that has written so many records into its file. They are not synced."""
    writer = JournalWriter(unsynced(folder), clock.time)
    await writer.start()
    for number in range(count):
        writer.append(fields(request_id=f"before-{number}"))
    await writer.written()
    return writer


def power_cut(folder: Path, after: Path) -> None:
    """What is found on the disk: what was synced, and no more."""
    shutil.copytree(folder, after)
    for journal in after.glob("*.0"):
        head, (segment,) = read_head(journal / HEAD), segments(journal)
        assert head is not None
        lines = segment.path.read_bytes().splitlines(keepends=True)
        assert len(lines) > head.sequence
        segment.path.write_bytes(b"".join(lines[: head.sequence]))


def lines(found: list[Closed]) -> list[bytes]:
    return [closed.line for closed in found]


async def test_no_sink_holds_what_the_journal_does_not(tmp_path: Path) -> None:
    sink, time = Recorder(), Time()
    writer = await opened(tmp_path / "before", 5)
    one = follower(tmp_path / "before", sink, time)
    await until_idle(one, time)
    assert sink.ids() == [("gw.0", 1)]
    await one.stop()
    power_cut(tmp_path / "before", tmp_path / "after")
    await writer.stop(5)
    # The gateway is started again, and takes the journal.
    await write(unsynced(tmp_path / "after"), 7)
    other = follower(tmp_path / "after", sink, time)
    await until_idle(other, time)
    await other.stop()
    held = records(tmp_path / "after" / "gw.0")
    assert len(held) == 10
    assert lines(sink.got) == lines(held)
    assert verify(tmp_path / "after", public_key=None).intact


async def test_what_is_synced_is_brought_soon(tmp_path: Path) -> None:
    """By the writer, which says so; or here, where it was killed or says nothing for long."""
    sink, time = Recorder(), Time()
    writer = await opened(tmp_path, 5)
    one = follower(tmp_path, sink, time)
    await until_idle(one, time)
    waited = 0.0
    while len(sink.got) < 6:
        pause = await one.step()
        time.now += pause
        waited += pause
        assert waited < PATIENCE + 1.0
    writer.append(fields(request_id="late"))
    await writer.stop(5)
    # All that it wrote is on the disk, and it has said so.
    await until_idle(one, time)
    assert lines(sink.got) == lines(records(tmp_path / "gw.0"))
    await one.stop()


async def test_nothing_is_completed_of_what_can_be_lost(tmp_path: Path) -> None:
    """What the finisher has read is behind nothing that a power cut takes."""
    time = Time()
    writer = await opened(tmp_path, 0)
    writer.append(fields(exchange_id="e-1", decision="allow"))
    await writer.written()
    own = JournalWriter(JournalSettings.model_validate(options(tmp_path, instance="finisher")), clock.time)
    finisher = Finisher(tmp_path, own, longest=10, grace=10, idle=10, clock=time, monotonic=time)
    await finisher.start()
    await finisher.look()
    assert finisher.waiting == 0
    time.now += PATIENCE
    await finisher.look()
    assert finisher.waiting == 1
    await finisher.stop(5)
    await writer.stop(5)


# It was lost all the same.


@pytest.mark.parametrize("running", [False, True])
async def test_an_end_that_was_lost_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, running: bool
) -> None:
    """The follower is the one that had read what was lost, or another that goes on from its checkpoint."""
    sink, time = Recorder(), Time()
    journal = FakeJournal(tmp_path)
    common = journal.append(6)
    lost = journal.append(4, why="lost")
    one = follower(tmp_path, sink, time, batch={"records": 3})
    await until_idle(one, time)
    journal.sequence, journal.previous = 6, common[-1].hash
    journal.segment.write_bytes(b"".join(closed.line + b"\n" for closed in common))
    anew = journal.append(7, why="anew")
    if not running:
        await one.stop()
        one = follower(tmp_path, sink, time, batch={"records": 3})
    await until_idle(one, time)
    await one.stop()
    assert lines(sink.got[:10]) == lines([*common, *lost])
    # Twice what is older, in order; what was lost, once; and exactly what there is.
    assert lines(sink.got[10:]) == lines([*common, *anew])
    told = [message for message in caplog.messages if "is not what was delivered" in message]
    assert len(told) == 1
    assert told[0].startswith("the journal gw.0 is not what was delivered: record 11: ")
    assert told[0].endswith("it is delivered again from record 1 on")
    assert one.positions()["gw.0"].sequence == 14
    assert one.status().broken == {}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 12), st.integers(1, 5), st.booleans())
async def test_a_sink_ends_with_what_the_journal_holds(
    seen: int, kept: int, count: int, batch: int, rotates: bool
) -> None:
    kept = min(seen, kept)
    with tempfile.TemporaryDirectory() as name:
        folder, sink, time = Path(name), Recorder(), Time()
        journal = FakeJournal(folder)
        common = journal.append(kept)
        if rotates:
            journal.rotate()
        lost = journal.append(seen - kept, why="lost")
        one = follower(folder, sink, time, batch={"records": batch})
        await until_idle(one, time)
        await one.stop()
        if lost:
            journal.sequence, journal.previous = kept, (common[-1].hash if common else "0" * 64)
            content = b"" if rotates else b"".join(closed.line + b"\n" for closed in common)
            journal.segment.write_bytes(content)
        anew = journal.append(count, why="anew")
        other = follower(folder, sink, time, batch={"records": batch})
        await until_idle(other, time)
        await other.stop()
        assert lines(sink.got[:seen]) == lines([*common, *lost])
        # At least once, and in the end in order, what is there.
        held = lines([*common, *anew])
        assert lines(sink.got)[-len(anew) :] == lines(anew)
        assert set(lines(sink.got)) - set(lines(lost)) == set(held)
