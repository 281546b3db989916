"""A journal is followed while it is written, rotated, compressed and removed, by a thread beside its writer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from policies.audit.canonical import FIRST
from policies.audit.journal import JournalReader, JournalWriter, Position
from policies.audit.journal.retention import RetentionRules, retain
from policies.audit.journal.segments import segments
from policies.audit.journal.verify import verify
from policies.audit.record import Closed
from tests.policies.audit.journal.written import fields, settings


def follow(journal: Path, last: int) -> list[Closed]:
    reader, position, found = JournalReader(journal), Position(), list[Closed]()
    ends = time.monotonic() + 60
    while len(found) < last and time.monotonic() < ends:
        more, position = reader.read(position, 13)
        found += more
    return found


def pack(folder: Path, following: asyncio.Future[list[Closed]]) -> None:
    while not following.done():
        retain(folder, RetentionRules(compress_after=0, days=36_525), time.time() + 1, [])


async def test_it_is_followed_while_it_changes(tmp_path: Path) -> None:
    writer = JournalWriter(settings(tmp_path, segment_bytes=3_000), time.time)
    await writer.start()
    loop = asyncio.get_running_loop()
    following = loop.run_in_executor(None, follow, tmp_path / "gate.0", 1_502)
    packing = loop.run_in_executor(None, pack, tmp_path, following)
    for number in range(1_500):
        writer.append(fields(request_id=str(number), params={"text": "x" * (number % 50)}))
        if number % 3 == 0:
            await writer.written()
    await writer.stop(10)
    found = await following
    await packing
    assert [one.record.sequence for one in found] == list(range(1, 1_503))
    previous = FIRST
    for one in found:
        assert one.record.previous == previous
        previous = one.hash
    assert len(segments(tmp_path / "gate.0")) > 50
    assert segments(tmp_path / "gate.0")[0].packed
    assert verify(tmp_path, public_key=None).intact
