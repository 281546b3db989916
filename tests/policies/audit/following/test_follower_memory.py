"""Memory stays flat while a sink is down and the journal grows, and while it is read to its end."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from policies.audit.record import Closed
from tests.policies.audit.following.rigs import FakeJournal, Recorder, Time, follower

MEBIBYTES: Final = int(os.environ.get("FOLLOWER_MEBIBYTES", "240"))
SEGMENT: Final = 400
TEXT: Final = "x" * 50_000


class Counting(Recorder):
    """Keeps no record."""

    count = 0

    async def deliver(self, batch: Sequence[Closed]) -> None:
        if self.down:
            await super().deliver(batch)
        self.count += len(batch)


async def test_memory_is_flat(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Counting(), Time()
    sink.down = True
    one = follower(tmp_path, sink, time)
    journal.append(10, why=TEXT)
    time.now += await one.step()
    records = 10
    tracemalloc.start()
    try:
        while records * len(TEXT) < MEBIBYTES << 20:
            journal.rotate()
            for _ in range(SEGMENT // 20):
                journal.append(20, why=TEXT)
            records += SEGMENT
            time.now += await one.step()
        down, _ = tracemalloc.get_traced_memory()
        sink.down = False
        tracemalloc.reset_peak()
        time.now += 60
        while sink.count < records:
            time.now += await one.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await one.stop()
    # One read is at most 500 records of the usual size: before the first it knows none, later it is a mebibyte.
    assert down < 8 << 20
    assert peak < 32 << 20
    assert one.status().failures > 3
    print(f"{down >> 10} KiB while down, {peak >> 10} KiB at most while reading")
