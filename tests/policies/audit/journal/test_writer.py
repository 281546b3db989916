"""What is appended is written in order and bound together. Whoever waits is told when it is safe, or that it is not."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from extproc.secret import Secret
from extproc.tasks import spawn
from policies.audit.journal import JournalError, JournalWriter, segment_writer
from policies.audit.journal.segments import segments
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import fields, records, settings, written


class Disk:
    """Stands between the writer and the disk: fails, or waits, where it is told to. Nothing is really synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: int | None = None
        self.sync_failing = False
        self.short = 0
        self.free = threading.Event()
        self.free.set()
        self.syncs = 0
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(segment_writer, "_sync", self.sync)

    def pwrite(self, descriptor: int, data: bytes, position: int) -> int:
        self.free.wait(10)
        if self.short:
            # Some of it is put down before it fails.
            data, self.short = data[: self.short], 0
            return self._pwrite(descriptor, data, position)
        if self.failing is not None:
            raise OSError(self.failing, os.strerror(self.failing))
        return self._pwrite(descriptor, data, position)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def opened(folder: Path, **more: object) -> JournalWriter:
    writer = JournalWriter(settings(folder, **more), time.time)
    await writer.start()
    return writer


@pytest.mark.parametrize("durability", ["batch", "strict"])
async def test_records_are_written_in_order(tmp_path: Path, durability: str) -> None:
    writer = await opened(tmp_path, durability=durability)
    assert (writer.journal, writer.accepts, writer.readiness()) == ("gate.0", True, None)
    for number in range(100):
        writer.append(fields(request_id=str(number)))
    await writer.written()
    assert [one.record.request_id for one in records(tmp_path / "gate.0")[1:]] == [str(number) for number in range(100)]
    await writer.durable()
    assert writer.counters() == {
        "appended": 101,
        "written": 101,
        "synced": 101,
        "dropped": 0,
        "failures": 0,
    }
    assert writer.queued == 0
    await writer.stop(5)
    assert [one.record.event for one in records(tmp_path / "gate.0")[-2:]] == ["request.allowed", "journal.closed"]
    assert json.loads((tmp_path / "gate.0" / "head.json").read_bytes())["sequence"] == 102
    assert verify(tmp_path, public_key=None).intact


async def test_many_wait_and_some_leave(tmp_path: Path) -> None:
    writer = await opened(tmp_path)

    async def exchange(number: int) -> None:
        writer.append(fields(request_id=str(number)))
        await (writer.written() if number % 2 else writer.durable())

    tasks = [asyncio.get_running_loop().create_task(exchange(number)) for number in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::7]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [number % 7 == 0 for number in range(200)]
    await writer.stop(5)
    assert len(records(tmp_path / "gate.0")) == 202


async def test_durable_means_synced(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path, sync_ms=60_000)
    before = disk.syncs
    writer.append(fields())
    await writer.written()
    assert disk.syncs == before
    await writer.stop(5)
    assert disk.syncs > before
    strict = await opened(tmp_path, durability="strict")
    for _ in range(3):
        before = disk.syncs
        strict.append(fields())
        await strict.durable()
        assert disk.syncs == before + 1
    await strict.stop(5)


async def test_before_it_opens_and_after_it_is_closed(tmp_path: Path) -> None:
    writer = JournalWriter(settings(tmp_path), time.time)
    assert (writer.accepts, writer.readiness(), writer.counters()) == (False, "the journal is not open", {})
    await writer.stop(1)
    with pytest.raises(JournalError, match="not open"):
        writer.append(fields())
    await writer.start()
    await writer.stop(5)
    await writer.stop(5)
    assert not writer.accepts
    with pytest.raises(JournalError, match="not open"):
        writer.append(fields())
    # It let go of it.
    again = await opened(tmp_path)
    assert again.journal == "gate.0"
    await again.stop(5)


@pytest.mark.parametrize("bad", [{"params": {"x": object()}}, {"why": "\ud800"}, {"no_such": 1}])
async def test_a_record_that_cannot_be_written(tmp_path: Path, bad: dict[str, object]) -> None:
    closed, free = await opened(tmp_path), await opened(tmp_path, full="open")
    with pytest.raises(JournalError, match="cannot be written"):
        closed.append(fields(**bad))
    free.append(fields(**bad))
    for writer in (closed, free):
        writer.append(fields())
        await writer.stop(5)
    assert verify(tmp_path, public_key=None).intact
    assert len(records(tmp_path / "gate.0")) == 3
    assert [one.record.lost for one in records(tmp_path / "gate.1")] == [0, 1, 0, 0]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_a_write_that_fails_is_tried_again(tmp_path: Path, disk: Disk, code: int) -> None:
    writer = await opened(tmp_path)
    for number in range(20):
        writer.append(fields(request_id=str(number)))
    disk.failing, disk.short = code, 1_000
    with pytest.raises(JournalError, match=os.strerror(code)):
        await writer.written()
    assert os.strerror(code) in (writer.readiness() or "")
    # Whole lines stay, the torn one was taken back.
    text = segments(tmp_path / "gate.0")[0].path.read_bytes()
    assert text.endswith(b"\n")
    assert 2 < text.count(b"\n") < 10
    with pytest.raises(JournalError):
        await writer.durable()
    disk.failing = None
    while writer.readiness() is not None:
        await asyncio.sleep(0.01)
    await writer.durable()
    await writer.stop(5)
    assert len(records(tmp_path / "gate.0")) == 22
    assert verify(tmp_path, public_key=None).intact
    assert writer.counters()["failures"] >= 1


async def test_a_sync_that_fails(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path, durability="strict")
    disk.sync_failing = True
    writer.append(fields())
    with pytest.raises(JournalError, match="Input/output"):
        await writer.durable()
    segment = segments(tmp_path / "gate.0")[0].path
    whole = segment.read_bytes()
    # What the kernel dropped after it said so is written anew.
    with segment.open("r+b") as file:
        file.seek(len(whole) - 100)
        file.write(b"\0" * 100)
    disk.sync_failing = False
    while writer.readiness() is not None:
        await asyncio.sleep(0.01)
    await writer.durable()
    assert segment.read_bytes() == whole
    await writer.stop(5)
    assert verify(tmp_path, public_key=None).intact


async def test_a_start_gives_the_disk_more_time_than_a_request_does(tmp_path: Path, disk: Disk) -> None:
    disk.free.clear()
    writer = JournalWriter(settings(tmp_path, durability="strict", strict_timeout=0.05), time.time)
    starting = spawn(writer.start(), name="start")
    await asyncio.sleep(0.2)
    assert not starting.done()
    disk.free.set()
    await starting
    disk.free.clear()
    writer.append(fields())
    async with asyncio.timeout(5):
        with pytest.raises(JournalError, match="does not answer"):
            await writer.durable()
    disk.free.set()
    await writer.stop(5)
    assert len(records(tmp_path / "gate.0")) == 3


async def test_a_disk_that_does_not_answer(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path, durability="strict", strict_timeout=0.05)
    disk.free.clear()
    writer.append(fields())
    with pytest.raises(JournalError, match="does not answer"):
        await writer.durable()
    # The next do not wait as long for the same.
    assert "does not answer" in (writer.readiness() or "")
    with pytest.raises(JournalError, match="does not answer"):
        await writer.written()
    disk.free.set()
    while writer.readiness() is not None:
        await asyncio.sleep(0.01)
    writer.append(fields())
    await writer.durable()
    await writer.stop(5)
    assert len(records(tmp_path / "gate.0")) == 4


async def test_it_is_closed_while_the_disk_does_not_answer(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await opened(tmp_path)
    disk.free.clear()
    writer.append(fields())
    await writer.stop(0.05)
    assert "its last 2 records were not written" in caplog.text
    # Its thread may write yet: nobody else gets the journal.
    other = JournalWriter(settings(tmp_path), time.time)
    starting = asyncio.get_running_loop().create_task(other.start())
    await asyncio.sleep(0.05)
    disk.free.set()
    await starting
    assert other.journal == "gate.1"
    await other.stop(5)


async def test_it_rotates_by_size(tmp_path: Path) -> None:
    writer = await opened(tmp_path, segment_bytes=2_000)
    for _ in range(50):
        writer.append(fields())
        await writer.written()
    await writer.stop(5)
    parts = segments(tmp_path / "gate.0")
    assert len(parts) > 5
    assert all(part.seal.exists() and part.index.exists() for part in parts[:-1])
    assert not parts[-1].seal.exists()
    assert len(records(tmp_path / "gate.0")) == 52


async def test_it_rotates_by_age_also_when_nothing_happens(tmp_path: Path) -> None:
    writer = await opened(tmp_path, segment_age=0.05)
    while not segments(tmp_path / "gate.0")[0].seal.exists():
        await asyncio.sleep(0.01)
    writer.append(fields())
    await writer.stop(5)
    assert len(segments(tmp_path / "gate.0")) > 1
    assert verify(tmp_path, public_key=None).intact


async def test_the_head_follows_when_nothing_more_comes(tmp_path: Path) -> None:
    writer = await opened(tmp_path)
    for _ in range(3):
        writer.append(fields())
    await writer.durable()
    while json.loads((tmp_path / "gate.0" / "head.json").read_bytes())["sequence"] < 4:
        await asyncio.sleep(0.02)
    await writer.stop(5)


async def test_a_clock_that_goes_back(tmp_path: Path) -> None:
    now = [2_000_000_000.0]
    writer = JournalWriter(settings(tmp_path, segment_bytes=1_024), lambda: now[0])
    await writer.start()
    now[0] = 1_000_000_000.0
    for _ in range(20):
        writer.append(fields())
        await writer.written()
    await writer.stop(5)
    assert [one.record.sequence for one in records(tmp_path / "gate.0")] == list(range(1, 23))
    assert verify(tmp_path, public_key=None).intact


async def test_what_is_inherited(tmp_path: Path) -> None:
    writer = await opened(tmp_path)
    assert writer.inherited == []
    writer.append(fields(request_id="a"))
    await writer.stop(5)
    again = await opened(tmp_path)
    assert again.inherited == []
    await again.stop(5)
    with segments(tmp_path / "gate.0")[0].path.open("r+b") as file:
        lines = file.read().splitlines(keepends=True)
        file.truncate(sum(map(len, lines[:2])))
    (tmp_path / "gate.0" / "head.json").unlink()
    third = await opened(tmp_path)
    assert [one.record.event for one in third.inherited] == ["journal.opened", "request.allowed"]
    await third.stop(5)


async def test_it_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot be opened"):
        await JournalWriter(settings(tmp_path / "file"), time.time).start()
    (tmp_path / "key").write_text("no key")
    for name, said in (("key", "expected an Ed25519 private key"), ("nowhere", "FileNotFoundError")):
        secret = Secret(file=str(tmp_path / name))
        with pytest.raises(JournalError, match=f"signing_key: .*{said}"):
            await JournalWriter(settings(tmp_path, signing_key=secret), time.time).start()
    assert not list(tmp_path.glob("gate.*"))


def test_another_loop_goes_on(tmp_path: Path) -> None:
    for _ in range(3):
        written(tmp_path, 5)
    assert [one.record.sequence for one in records(tmp_path / "gate.0")] == list(range(1, 22))
