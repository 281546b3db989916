"""The finisher on real journals: what is missing is written in one of its own, once, whoever is stopped or killed."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.tasks import spawn
from policies.audit.finishing import finisher as module
from policies.audit.finishing.finisher import FILE, FinisherError
from policies.audit.journal import JournalError, JournalReader, JournalWriter, Position, journals
from policies.audit.moments import moment
from policies.audit.record import Closed, Record
from tests.policies.audit.finishing.world import GRACE, IDLE, LONGEST, NOW, World, all_of, closed, decided, started


async def test_what_is_whole_needs_nothing(tmp_path: Path) -> None:
    async with started(tmp_path) as world:
        # Halves of one exchange stand in the journals of two workers.
        await world.write(decided(1), decided(2), closed(1))
        await world.look()
        assert world.finisher.waiting == 1
        await world.write(closed(2), instance="other")
        await world.look()
        assert world.finisher.waiting == 0
        await world.look(10 * LONGEST)
        assert (world.made(), world.finisher.completed) == ([], 0)


async def test_what_is_missing_is_written_in_its_own_journal(tmp_path: Path) -> None:
    async with started(tmp_path) as world:
        reserved = {"input": 5, "output": 6, "tokens": 11, "dollars": 7}
        await world.write(decided(1, reserved=reserved, reservation_id="r"), closed(2, decision="reject"))
        await world.look()
        await world.look(GRACE)
        assert world.made() == [("decision", "e-2")]
        await world.look(LONGEST - GRACE)
        assert world.made() == [("decision", "e-2"), ("closing", "e-1")]
        assert (world.finisher.waiting, world.finisher.completed) == (0, 2)
        records = [one for one in all_of(tmp_path / "gw-finisher.0") if one.recovered]
        assert [(one.timestamp, one.version != "") for one in records] == [
            (moment(NOW + GRACE), True),
            (moment(NOW + LONGEST), True),
        ]
        assert (records[1].cost, records[1].requests, records[1].started) == ("0.000007", 1, moment(NOW))
        await world.look(10 * LONGEST)
        assert world.finisher.completed == 2


async def test_sessions_begin_and_end(tmp_path: Path) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1, session_id="s-1"), closed(1, session_id="s-1"))
        await world.look()
        assert world.made() == [("session.begun", "s-1")]
        await world.look()
        await world.look(IDLE)
        await world.look(IDLE)
        assert world.made() == [("session.begun", "s-1"), ("session.ended", "s-1")]


async def test_nothing_is_missing_before_all_has_been_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finisher that was away for a day finds decisions that are old, and their closings far behind them."""
    monkeypatch.setattr(module, "_BATCH", 7)
    async with started(tmp_path) as world:
        await world.write(*(decided(number) for number in range(40)))
        await world.write(*(closed(number) for number in range(1, 40)), instance="other")
        world.now += 10 * LONGEST
        await world.look()
        assert world.finisher.waiting == 1
        await world.look(LONGEST)
        assert world.made() == [("closing", "e-0")]


@pytest.mark.parametrize("killed", [False, True])
async def test_who_comes_after_goes_on(killed: bool, tmp_path: Path) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1), decided(2), closed(3), decided(4, session_id="s-1"))
        await world.look()
        await world.look(GRACE)
        assert world.made() == [("decision", "e-3"), ("session.begun", "s-1")]
        await world.restart(killed=killed)
        await world.write(closed(2))
        await world.look()
        assert world.finisher.waiting == 2
        # While nobody looked, nothing could be found: they wait anew.
        await world.look(LONGEST - 1)
        assert world.finisher.completed == 0
        await world.look(1)
        await world.restart(killed=killed)
        await world.look(LONGEST)
        await world.look(10 * LONGEST)
        expected = [("closing", "e-1"), ("closing", "e-4"), ("decision", "e-3"), ("session.begun", "s-1")]
        assert sorted(one for one in world.made() if one[0] != "session.ended") == expected
        assert world.made().count(("session.ended", "s-1")) == 1


async def test_it_is_remembered_from_time_to_time(tmp_path: Path) -> None:
    async with started(tmp_path) as world:
        await world.look(module._SAVE - 1)
        assert not (tmp_path / FILE).exists()
        await world.look(1)
        before = (tmp_path / FILE).read_bytes()
        await world.write(closed(1))
        await world.look(module._SAVE - 1)
        assert (tmp_path / FILE).read_bytes() == before
        await world.look(1)
        assert (tmp_path / FILE).read_bytes() != before
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [FILE]


# Who is stopped in the middle of it


class Held:
    """Readers that are held at their nth read, until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.reached, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        before = JournalReader.read
        left = iter(range(at - 1, -1, -1))

        def read(reader: JournalReader, position: Position, most: int) -> tuple[list[Closed], Position]:
            if next(left, 1):
                return before(reader, position, most)
            self.reached.set()
            self.go_on.wait(20)
            try:
                return before(reader, position, most)
            finally:
                self.ended.set()

        monkeypatch.setattr(JournalReader, "read", read)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_who_is_stopped_while_it_reads_has_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    await world.write(decided(1))
    await world.finisher.start()
    with monkeypatch.context() as patch:
        # Its own journal comes first, then the worker's.
        held = Held(patch, 2)
        looking = spawn(world.finisher.look(), name="look")
        await until(held.reached.is_set)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        held.go_on.set()
        await until(held.ended.is_set)
        # The thread has come to its end, and what it found is known to nobody.
        await asyncio.sleep(0.05)
    await world.restart()
    await world.look()
    assert world.finisher.waiting == 1
    await world.finisher.stop(5)


async def test_who_is_stopped_between_two_reads_forgets_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 4)
    world = World(tmp_path)
    await world.write(decided(1, session_id="s-1"), *(closed(number) for number in range(9)))
    await world.finisher.start()
    with monkeypatch.context() as patch:
        held = Held(patch, 3)
        looking = spawn(world.finisher.look(), name="look")
        await until(held.reached.is_set)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        held.go_on.set()
        await until(held.ended.is_set)
    await world.restart()
    await world.look()
    await world.look()
    assert world.made() == [("session.begun", "s-1")]
    await world.finisher.stop(5)


async def test_what_cannot_be_written_now_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(tmp_path) as world:
        await world.write(*(decided(number) for number in range(3)))
        await world.look()
        append = JournalWriter.append
        left = [2]

        def failing(writer: JournalWriter, fields: dict[str, Any]) -> None:
            left[0] -= 1
            if left[0] < 1:
                raise JournalError("no space left on the disk")
            append(writer, fields)

        with monkeypatch.context() as patch:
            patch.setattr(JournalWriter, "append", failing)
            for _ in range(3):
                with pytest.raises(JournalError):
                    await world.look(LONGEST)
        assert world.finisher.completed == 1
        await world.look()
        assert world.made() == [("closing", f"e-{number}") for number in range(3)]


async def test_what_was_not_written_is_not_remembered_as_if_it_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1))
        await world.look()

        def failing(writer: JournalWriter, fields: dict[str, Any]) -> None:
            raise JournalError("no space left on the disk")

        with monkeypatch.context() as patch:
            patch.setattr(JournalWriter, "append", failing)
            with pytest.raises(JournalError):
                await world.look(LONGEST)
            patch.undo()
            await world.restart()
        await world.look()
        await world.look(LONGEST)
        assert world.made() == [("closing", "e-1")]


# What cannot be read


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"positions":{}}', b"\xff"])
async def test_what_it_remembers_must_be_whole(content: bytes, tmp_path: Path) -> None:
    """To begin anew by itself, it would read everything: that is for a person to decide."""
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(FinisherError, match=r"finisher\.json cannot be read .*: restore it, or remove it"):
        await World(tmp_path).finisher.start()


async def test_a_journal_that_is_broken_keeps_no_other_from_being_completed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1))
        await world.write(decided(2), instance="other")
        [segment] = (tmp_path / "other.0").glob("*.jsonl")
        whole = segment.read_bytes()
        segment.write_bytes(whole.replace(b"e-2", b"e-9"))
        await world.look()
        await world.look(LONGEST)
        assert world.made() == [("closing", "e-1")]
        messages = [message for message in caplog.messages if "cannot be read on" in message]
        assert len(messages) == 1
        assert messages[0].startswith("the journal other.0 cannot be read on: ")
        # Restored, it is read on from where it was.
        segment.write_bytes(whole)
        await world.look()
        assert world.finisher.waiting == 1


async def test_a_journal_that_is_not_what_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1), closed(1), decided(2))
        await world.look()
        for path in (tmp_path / "gw.0").iterdir():
            path.unlink()
        await world.write(decided(3))
        await world.look()
        (told,) = [message for message in caplog.messages if "cannot be read on" in message]
        assert told.startswith("the journal gw.0 cannot be read on: record 6: ")
        assert told.endswith(": with finisher.json removed all are read again")
        await world.restart(killed=True)
        (tmp_path / FILE).unlink(missing_ok=True)
        await world.restart()
        await world.look()
        assert world.finisher.waiting == 1


async def test_it_looks_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.001)
    async with started(tmp_path) as world:
        running = spawn(world.finisher.run(), name="run")
        await world.write(decided(1))
        await until(lambda: world.finisher.waiting == 1)
        world.now += LONGEST
        await until(lambda: world.finisher.completed == 1)
        running.cancel()
        await asyncio.wait([running])


# All of it


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.integers(0, 23), min_size=1, max_size=6)),
        st.tuples(st.just("look"), st.sampled_from([0.0, GRACE, LONGEST])),
        st.tuples(st.just("restart"), st.booleans()),
    ),
    max_size=12,
)


async def finished(folder: Path, steps: list[Any]) -> list[Record]:
    """Write halves of twelve exchanges, each once, look and restart as it is said; then all there is."""
    async with started(folder) as world:
        waiting = set(range(24))
        for step, what in steps:
            if step == "write":
                halves = [number for number in dict.fromkeys(what) if number in waiting]
                waiting -= set(halves)
                records = [closed(number // 2) if number % 2 else decided(number // 2) for number in halves]
                await world.write(*records, instance=f"gw{len(waiting) % 2}")
            elif step == "look":
                await world.look(what)
            else:
                await world.restart(killed=what)
        for _ in range(3):
            await world.look(LONGEST)
        assert world.finisher.waiting == 0
    return [one for path in journals(folder) for one in all_of(path) if one.exchange_id]


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_exchange_has_a_decision_and_a_closing(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        records = asyncio.run(finished(Path(name), steps))
    for exchange in {one.exchange_id for one in records}:
        halves = [(one.kind, bool(one.recovered)) for one in records if one.exchange_id == exchange]
        # Each once; beside a half that was written in its place, the real one may have come late.
        assert len(halves) == len(set(halves))
        assert {kind for kind, _ in halves} == {"decision", "closing"}
        assert not {("decision", True), ("closing", True)} <= set(halves)
