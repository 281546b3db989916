"""Whoever waits is told in order: that it is there, that it is late, or that it failed."""

from __future__ import annotations

import asyncio

import pytest

from policies.audit.journal.settings import JournalError
from policies.audit.journal.waiters import Waiting


async def test_those_whose_record_is_there_go_on() -> None:
    waiting, loop = Waiting(), asyncio.get_running_loop()
    futures = [waiting.join(sequence, 10, loop) for sequence in (1, 2, 2, 5)]
    waiting.reached(2)
    assert [one.done() for one in futures] == [True, True, True, False]
    waiting.reached(9)
    assert waiting.next is None
    await asyncio.gather(*futures)


async def test_those_whose_time_is_over() -> None:
    waiting, loop = Waiting(), asyncio.get_running_loop()
    one, other, left = (waiting.join(sequence, float(sequence), loop) for sequence in (1, 2, 3))
    assert not waiting.late(0.5, "late")
    other.cancel()
    assert waiting.next == 1
    assert waiting.late(1.5, "late")
    with pytest.raises(JournalError, match="late"):
        await one
    # Nobody waits for it any more.
    assert not waiting.late(2.5, "late")
    assert not left.done()
    left.cancel()


async def test_all_fail() -> None:
    waiting, loop = Waiting(), asyncio.get_running_loop()
    futures = [waiting.join(sequence, 10, loop) for sequence in (1, 2)]
    futures[0].cancel()
    waiting.fail("no space")
    with pytest.raises(JournalError, match="no space"):
        await futures[1]
    waiting.fail("no space")
    assert waiting.next is None
