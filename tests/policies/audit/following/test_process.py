"""The process that follows the journal, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from policies.audit.following.following import Following
from policies.audit.following.process import follow
from policies.audit.following.sink import SinkError
from policies.audit.following.status import SinkState, Status, read_status
from policies.audit.record import Closed
from tests.policies.audit.following.receiver import Receiver, Reply, receiving
from tests.policies.audit.following.rigs import FakeJournal, Recorder, id_of, settings

ROOT = Path(__file__).parents[4]


async def until(condition: Callable[[], object], what: str) -> None:
    """Waits for what must come about, however long this machine takes for it."""
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never came about that {what}")


class Rig:
    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder / "journal"
        self.copy = folder / "copy.jsonl"
        self.receiver = receiver

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        module = "tests.policies.audit.following.follow_process"
        command = [sys.executable, "-m", module, str(self.folder), self.receiver.url, str(self.copy)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def copied(self) -> list[tuple[str, int]]:
        if not self.copy.exists():
            return []
        records = [json.loads(line) for line in self.copy.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return [(record["journal"], record["sequence"]) for record in records]


def more_than(receiver: Receiver, count: int) -> Callable[[], bool]:
    return lambda: len(receiver.requests) > count


def first_times(ids: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys(ids))


async def test_killed_while_it_delivers_nothing_is_lost_and_the_order_stays(tmp_path: Path) -> None:
    async with receiving() as receiver:
        rig = Rig(tmp_path, receiver)
        journal = FakeJournal(rig.folder)
        written = [id_of(closed) for closed in journal.append(300)]
        receiver.rule = lambda _: Reply(delay=0.005)
        for kill in range(4):
            async with rig.process() as process:
                await until(more_than(receiver, len(receiver.requests) + 2), "it delivers")
                process.send_signal(signal.SIGKILL)
                await process.wait()
            written += [id_of(closed) for closed in journal.append(50 + kill)]
        async with rig.process() as process:
            await until(lambda: set(receiver.arrived()) == set(written), "all has arrived at the webhook")
            await until(lambda: set(rig.copied()) == set(written), "all is in the file")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert first_times(receiver.arrived()) == written
        assert first_times(rig.copied()) == written


async def test_sigterm_saves_how_far_it_has_come(tmp_path: Path) -> None:
    async with receiving() as receiver:
        rig = Rig(tmp_path, receiver)
        journal = FakeJournal(rig.folder)
        written = [id_of(closed) for closed in journal.append(100)]

        def is_complete() -> bool:
            return set(receiver.arrived()) == set(rig.copied()) == set(written)

        for _ in range(2):
            async with rig.process() as process:
                await until(is_complete, "all has arrived")
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            written += [id_of(closed) for closed in journal.append(10)]
        assert receiver.arrived() == rig.copied() == written[:-10]


async def test_a_second_process_waits_and_takes_over(tmp_path: Path) -> None:
    async with receiving() as receiver:
        rig = Rig(tmp_path, receiver)
        journal = FakeJournal(rig.folder)
        async with rig.process() as first:
            await until(lambda: told(rig.folder) is not None, "the first one works")
            async with rig.process() as second:
                await asyncio.sleep(1.5)
                status = told(rig.folder)
                assert status is not None
                assert status.pid == first.pid
                first.send_signal(signal.SIGKILL)
                await first.wait()
                journal.append(5)
                await until(lambda: len(receiver.arrived()) == 5, "the second one delivers")
                await until(lambda: (now := told(rig.folder)) and now.pid == second.pid, "the second one tells so")
        async with rig.process() as first:
            await until(lambda: (now := told(rig.folder)) and now.pid == first.pid, "it works")
            async with rig.process() as waiting:
                await asyncio.sleep(1.0)
                waiting.send_signal(signal.SIGTERM)
                assert await waiting.wait() in (0, -signal.SIGTERM)


def told(folder: Path) -> Status | None:
    return read_status(folder)


class Down(Recorder):
    async def deliver(self, batch: Sequence[Closed]) -> None:
        raise SinkError("it is down")


class Hangs(Recorder):
    async def deliver(self, batch: Sequence[Closed]) -> None:
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def followed(folder: Path, *sinks: Recorder) -> AsyncIterator[None]:
    stop = asyncio.Event()
    followings = [Following(settings(name=sink.name), sink) for sink in sinks]
    task = asyncio.get_running_loop().create_task(follow(folder, followings, stop, grace=0.2))
    try:
        yield
    finally:
        stop.set()
        await task


def standing(folder: Path, name: str) -> tuple[SinkState, int] | None:
    status = read_status(folder)
    return None if status is None else (status.sinks[name].state, status.sinks[name].behind_records)


async def test_one_that_fails_keeps_no_other_from_its_work(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    journal.append(3)
    journal.head()
    (tmp_path / "odd.checkpoint.json").write_bytes(b"{")
    well = Recorder("well")
    async with followed(tmp_path, Down("down"), Hangs("hangs"), Recorder("odd"), well):
        await until(lambda: len(well.got) == 3, "the one that is well has got all")
        await until(lambda: standing(tmp_path, "well") == (SinkState.FOLLOWING, 0), "that is told")
        await until(lambda: standing(tmp_path, "down") == (SinkState.RETRYING, 3), "one is down")
        await until(lambda: standing(tmp_path, "odd") == (SinkState.STOPPED, 3), "one has no checkpoint")
        await until(lambda: standing(tmp_path, "hangs") == (SinkState.STARTING, 3), "one hangs")
        journal.append(2)
        await until(lambda: len(well.got) == 5, "what came later has arrived")
    assert well.stopped == 1


async def test_a_status_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "status.json" / "inside").mkdir(parents=True)
    journal = FakeJournal(tmp_path)
    well = Recorder("well")
    async with followed(tmp_path, well):
        await asyncio.sleep(1.2)
        journal.append(1)
        await until(lambda: len(well.got) == 1, "it has arrived")


async def test_two_sinks_of_one_name_are_refused(tmp_path: Path) -> None:
    followings = [Following(settings(name="one"), Recorder("one")) for _ in range(2)]
    with pytest.raises(ValueError, match="two sinks have the name 'one'"):
        await follow(tmp_path, followings, asyncio.Event())
