"""The sink that writes JSON lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policies.audit.following import file_sink
from policies.audit.following.file_sink import FileSink
from policies.audit.following.settings import FileSinkSettings
from policies.audit.following.sink import SinkError
from policies.audit.record import Closed
from tests.policies.audit.following.rigs import FakeJournal, Time


def sink(path: Path | str, **fields: Any) -> FileSink:
    return FileSink(
        FileSinkSettings.model_validate({"kind": "file", "name": "copy", "path": str(path), **fields}), Time()
    )


def lines(batch: list[Closed]) -> bytes:
    return b"".join(closed.line + b"\n" for closed in batch)


def rotated(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*"))


async def test_a_line_for_each_record(tmp_path: Path) -> None:
    path = tmp_path / "inside" / "copy.jsonl"
    one = sink(path)
    await one.start()
    batch = FakeJournal(tmp_path).append(3, why="ü\n")
    await one.deliver(batch[:2])
    await one.deliver(batch[2:])
    await one.stop()
    assert path.read_bytes() == lines(batch)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_it_is_rotated_by_size_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "out" / "co[p]y.jsonl"
    one = sink(path, rotate_bytes=2_000)
    batch = FakeJournal(tmp_path).append(20)
    for closed in batch:
        await one.deliver([closed])
    parts = [*sorted(path.parent.glob("co[[]p]y.jsonl.*")), path]
    assert len(parts) > 3
    assert all(part.stat().st_size <= 2_000 for part in parts)
    assert b"".join(part.read_bytes() for part in parts) == lines(batch)


async def test_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    stranger = tmp_path / "copy.jsonl.backup"
    stranger.write_text("mine")
    one = sink(path, rotate_bytes=1, keep=2)
    batch = FakeJournal(tmp_path).append(6)
    for closed in batch:
        await one.deliver([closed])
    kept = [found for found in rotated(path) if found != stranger]
    assert [found.read_bytes() for found in kept] == [lines([batch[3]]), lines([batch[4]])]
    assert path.read_bytes() == lines([batch[5]])
    assert stranger.read_text() == "mine"


async def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    path.write_bytes(b'{"cut')
    batch = FakeJournal(tmp_path).append(1)
    await sink(path).deliver(batch)
    assert path.read_bytes() == b'{"cut\n' + lines(batch)


async def test_a_file_that_somebody_else_has_renamed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    one = sink(path)
    batch = FakeJournal(tmp_path).append(2)
    await one.deliver(batch[:1])
    path.rename(tmp_path / "old")
    await one.deliver(batch[1:])
    assert (tmp_path / "old").read_bytes() == lines(batch[:1])
    assert path.read_bytes() == lines(batch[1:])


async def test_where_it_cannot_be_written_half_a_batch_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copy.jsonl"
    one = sink(path)
    batch = FakeJournal(tmp_path).append(3)
    await one.deliver(batch[:1])

    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:50])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_sink, "_write_all", full)
        with pytest.raises(SinkError, match="No space left"):
            await one.deliver(batch[1:])
    assert path.read_bytes() == lines(batch[:1])
    await one.deliver(batch[1:])
    assert path.read_bytes() == lines(batch)


async def test_a_path_that_cannot_be_a_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="Is a directory"):
        await sink(tmp_path).start()


PRINTS = """
import asyncio, sys
from pathlib import Path
from policies.audit.following.sink import SinkError
from tests.policies.audit.following.rigs import FakeJournal
from tests.policies.audit.following.test_file_sink import sink

async def main() -> None:
    one = sink("-")
    await one.start()
    batch = FakeJournal(Path(sys.argv[1])).append(2000)
    try:
        await one.deliver(batch)
    except SinkError as error:
        sys.exit(f"SinkError: {error}")

asyncio.run(main())
"""


@pytest.mark.parametrize("blocking", [True, False])
def test_standard_output_gets_a_line_for_each(tmp_path: Path, blocking: bool) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, blocking)
    command = [sys.executable, "-c", PRINTS, str(tmp_path)]
    with subprocess.Popen(command, stdout=writes, cwd=Path(__file__).parents[4]) as process:
        os.close(writes)
        with open(reads, "rb") as pipe:
            found = pipe.read().splitlines()
    assert process.returncode == 0
    assert found == (tmp_path / "gw.0" / f"{1:020d}.jsonl").read_bytes().splitlines()


def test_nobody_reading_standard_output_is_an_error(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-c", PRINTS, str(tmp_path)]
    result = subprocess.run(
        command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False, cwd=Path(__file__).parents[4]
    )
    os.close(writes)
    assert result.returncode == 1
    assert "SinkError: -: Broken pipe" in result.stderr
