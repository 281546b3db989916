"""A save that was cancelled goes on in its thread, and the last one comes behind it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest

from extproc.tasks import spawn
from policies.audit import atomic
from policies.audit.finishing import finisher as module
from tests.policies.audit.finishing.world import decided, started


async def test_the_last_save_waits_for_one_that_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, under_way, together = threading.Event(), [0], list[int]()

    def slow(path: Path, content: bytes, *, sync: bool) -> None:
        under_way[0] += 1
        together.append(under_way[0])
        begun.set()
        time.sleep(0.2)
        atomic.replace(path, content, sync=sync)
        under_way[0] -= 1

    async with started(tmp_path) as world:
        await world.write(decided(1))
        monkeypatch.setattr(module, "replace", slow)
        looking = spawn(world.look(3_600.0), name="looking")
        while not begun.is_set():
            await asyncio.sleep(0.005)
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await world.finisher.stop(5)
        assert together == [1, 1]
        assert caplog.messages == []
