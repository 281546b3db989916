"""What a process says of itself."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Iterable, Mapping

import pytest

from extproc.tasks import spawn
from extproc.workers import pulse as pulsing
from extproc.workers.pulse import pulse, resident_bytes, status_of
from extproc.workers.status import Dependency

NEEDS = (Dependency("entra", "closed", missing="no keys"), Dependency("audit", "open"))


class Server:
    def counters(self) -> Mapping[str, int]:
        return {"streams": 3}

    def dependencies(self) -> Iterable[Dependency]:
        return NEEDS


def test_it_says_what_the_server_counts_and_lacks_and_the_memory_it_holds() -> None:
    status = status_of(Server())
    assert (status.missing, status.counters, status.dependencies) == (("entra: no keys",), {"streams": 3}, NEEDS)
    assert status.serving
    assert not status_of(Server(), serving=False).serving
    assert status.memory > 1_000_000


def test_memory_is_what_is_held_now() -> None:
    before = resident_bytes()
    # From the system: what is freed elsewhere in a large process would serve as well, and is held already.
    with mmap.mmap(-1, 50_000_000) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        assert resident_bytes() - before > 40_000_000
    assert resident_bytes() - before < 40_000_000


async def test_the_first_word_comes_at_once() -> None:
    said: list[int] = []
    task = spawn(pulse(lambda: said.append(1)), name="pulse")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert said == [1]
    task.cancel()


async def test_it_goes_on_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    again = asyncio.Event()

    async def tell() -> None:
        await asyncio.sleep(0)
        said.append(1)
        if len(said) == 3:
            again.set()

    monkeypatch.setattr(pulsing, "_INTERVAL", 0.001)
    task = spawn(pulse(tell), name="pulse")
    async with asyncio.timeout(5):
        await again.wait()
    task.cancel()
