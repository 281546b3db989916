"""A disk that is really full: what does not fit is refused or declared, and what was written is whole."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from policies.audit.journal import JournalError, JournalWriter
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import fields, records, settings

FILL = "x" * 2_000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        said = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if said.returncode:
        pytest.skip(f"a small file system cannot be mounted: {said.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def filled(writer: JournalWriter, most: int = 3_000) -> int:
    """Append until the disk is full; how many were said to be written."""
    done = 0
    while done < most:
        writer.append(fields(request_id=str(done), why=FILL))
        try:
            await writer.written()
        except JournalError as error:
            if "No space left" in str(error):
                return done
            raise
        done += 1
    raise AssertionError("the disk was never full")


def room(writer: JournalWriter) -> bool:
    return writer.accepts


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("durability", ["batch", "strict"])
async def test_closed(small: Path, durability: str) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    writer = JournalWriter(settings(small, queue_bytes=100_000, durability=durability), time.time)
    await writer.start()
    done = await filled(writer)
    assert room(writer)
    assert "No space left" in (writer.readiness() or "")
    # Until too much waits.
    queued = 0
    while room(writer):
        writer.append(fields(request_id=f"later-{queued}", why=FILL))
        queued += 1
    with pytest.raises(JournalError, match="too much waits"):
        writer.append(fields())
    assert 10 < queued < 100
    with pytest.raises(JournalError):
        await writer.durable()
    # What is in the file is whole lines, also now.
    made = records(small / "gate.0")
    assert [one.record.request_id for one in made[1 : done + 1]] == [str(number) for number in range(done)]
    ballast.unlink()
    await until(lambda: writer.accepts and writer.readiness() is None)
    writer.append(fields(request_id="again"))
    await writer.durable()
    await writer.stop(10)
    assert verify(small, public_key=None).intact
    made = records(small / "gate.0")
    requests = [one.record.request_id for one in made if one.record.request_id]
    # Nothing that was taken is lost, also of what was said not to be written yet.
    assert requests == [*(str(n) for n in range(done + 1)), *(f"later-{n}" for n in range(queued)), "again"]


async def test_open(small: Path) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    writer = JournalWriter(settings(small, queue_bytes=50_000, full="open"), time.time)
    await writer.start()
    await filled(writer)
    for number in range(200):
        writer.append(fields(request_id=f"later-{number}", why=FILL))
    dropped = writer.counters()["dropped"]
    assert dropped > 100
    assert writer.accepts
    assert writer.readiness() is None
    ballast.unlink()
    await until(lambda: writer.queued == 0)
    writer.append(fields(request_id="again"))
    await writer.stop(10)
    report = verify(small, public_key=None)
    assert report.intact
    assert report.journals[0].gaps == dropped
    made = records(small / "gate.0")
    [gap] = [one.record for one in made if one.record.event == "journal.gap"]
    assert (gap.lost, gap.level) == (dropped, "error")
    assert made[-2].record.request_id == "again"


async def test_the_next_process_on_a_full_disk(small: Path) -> None:
    writer = JournalWriter(settings(small), time.time)
    await writer.start()
    done = await filled(writer)
    await writer.stop(0.2)
    report = verify(small, public_key=None)
    assert report.intact
    assert report.journals[0].records == done + 1
    with (small / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4_096):
            pass
    refused = JournalWriter(settings(small, instance="other"), time.time)
    with pytest.raises(JournalError, match="No space left"):
        await refused.start()
    assert not refused.accepts
    (small / "ballast").unlink()
    (small / "gate.0" / "00000000000000000001.jsonl").unlink()
    # The one that could not start holds no journal.
    again = JournalWriter(settings(small, instance="other"), time.time)
    await again.start()
    assert again.journal == "other.0"
    await again.stop(5)
