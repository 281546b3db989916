"""What a process says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from extproc.tasks import spawn
from extproc.workers.pulse import pulse, resident_bytes, status_of
from extproc.workers.status import Status


class Server:
    def counters(self) -> Mapping[str, int]:
        return {"streams": 3}

    def readiness(self) -> list[str]:
        return ["entra: no keys"]


def test_it_says_what_the_server_counts_and_lacks_and_the_memory_it_holds() -> None:
    status = status_of(Server())
    assert (status.missing, status.counters) == (("entra: no keys",), {"streams": 3})
    assert status.memory > 1_000_000


def test_memory_is_what_is_held_now() -> None:
    before = resident_bytes()
    held = bytearray(b"x") * 50_000_000
    assert resident_bytes() - before > 40_000_000
    del held
    assert resident_bytes() - before < 40_000_000


async def test_the_first_word_comes_at_once() -> None:
    said: list[Status] = []
    task = spawn(pulse(Server(), said.append), name="pulse")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [status.serving for status in said] == [True]
    task.cancel()
