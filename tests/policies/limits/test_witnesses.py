"""Others hear of an exchange that ended before its verdict once it is on record, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from policies.limits import witnesses as module
from policies.limits.witnesses import Witnesses


class Book:
    """A record, of which a page is written when it is let."""

    def __init__(self) -> None:
        self.waited = 0
        self._let = asyncio.Semaphore(0)

    async def recorded(self) -> None:
        self.waited += 1
        await self._let.acquire()

    def let(self) -> None:
        self._let.release()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_it_is_told_once_it_is_on_record() -> None:
    book, told = Book(), list[str]()
    witnesses = Witnesses(book.recorded, told.append)
    witnesses.saw("q-1")
    witnesses.saw("q-2")
    await until(lambda: book.waited == 1)
    assert told == []
    # It comes while the record is being written, and may not be on it.
    witnesses.saw("q-3")
    book.let()
    await until(lambda: book.waited == 2)
    assert told == ["q-1", "q-2"]
    book.let()
    await until(lambda: len(told) == 3)
    assert told == ["q-1", "q-2", "q-3"]
    # And another time.
    witnesses.saw("q-4")
    book.let()
    await until(lambda: told[-1] == "q-4")
    assert book.waited == 3


async def test_at_the_end_the_record_is_waited_for() -> None:
    book, told = Book(), list[str]()
    witnesses = Witnesses(book.recorded, told.append)
    await witnesses.stop(1)
    witnesses.saw("q-1")
    asyncio.get_running_loop().call_later(0.05, book.let)
    await witnesses.stop(10)
    assert told == ["q-1"]


async def test_but_not_for_ever() -> None:
    book, told = Book(), list[str]()
    witnesses = Witnesses(book.recorded, told.append)
    witnesses.saw("q-1")
    await witnesses.stop(0.05)
    book.let()
    await asyncio.sleep(0.02)
    assert told == []


async def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    book, told = Book(), list[str]()
    witnesses = Witnesses(book.recorded, told.append)
    for number in range(5):
        witnesses.saw(f"q-{number}")
    book.let()
    await until(lambda: len(told) == 3)
    assert told == ["q-0", "q-1", "q-2"]
