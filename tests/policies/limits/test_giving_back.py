"""What was reserved and not used is given back, also where nothing can be written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policies.limits import settling
from policies.limits.settling import Settlement, Settler
from policies.limits.spool import Spool
from policies.limits.store import Used
from tests.policies.limits.test_settling import FAILED, RESERVED, counted, left, locally, reserved, store, until


def returned(id: str) -> Settlement:
    """Nothing went up."""
    return Settlement("contoso", id, Used())


async def test_what_was_not_used_is_given_back_where_the_record_hangs() -> None:
    """A disk that does not answer: limits would refuse what they have room for."""
    there = store(reservations=["a", "b", "c", "d"])
    asks: list[asyncio.Event] = []

    async def recorded() -> None:
        asks.append(asyncio.Event())
        await asks[-1].wait()

    settler = Settler(there, recorded=recorded)
    settler.start()
    settler.put(reserved("a", 17))
    settler.put(returned("b"))
    await until(lambda: counted(there) == 3 * RESERVED)
    # Once it was waited for in vain; the next goes at once. What was used is not on record, and waits.
    assert len(asks) == 2
    settler.put(returned("c"))
    await until(lambda: counted(there) == 2 * RESERVED)
    assert (len(asks), there.calls, settler.backlog) == (2, ["settle b", "settle c"], 1)
    for each in asks:
        each.set()
    await until(lambda: counted(there) == 17 + RESERVED)
    # The disk answers again: the record is waited for again.
    settler.put(returned("d"))
    await until(lambda: len(asks) == 3)
    asks[2].set()
    await settler.stop(20)
    assert counted(there) == 17
    assert settler.counters()["settled"] == 4


async def test_what_was_not_used_waits_for_its_record_where_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given back before, and killed before it is on record, it would be closed as it was reserved."""
    monkeypatch.setattr(settling, "_SOON", 20.0)
    there = store(reservations=["a"])
    written = asyncio.Event()

    async def recorded() -> None:
        await written.wait()

    settler = Settler(there, recorded=recorded)
    settler.start()
    settler.put(returned("a"))
    await asyncio.sleep(0.01)
    assert (there.calls, settler.backlog) == ([], 1)
    written.set()
    await settler.stop(20)
    assert counted(there) == 0


async def test_what_was_counted_locally_and_not_used_is_in_the_spool_until_it_is_counted(tmp_path: Path) -> None:
    settler = Settler(store(usual=FAILED), Spool(tmp_path), asyncio.Event().wait)  # type: ignore[arg-type]
    settler.start()
    settler.put(locally("a", 0))
    nothing = Settlement("contoso", "b", Used(), locally("b", 0).local)
    settler.put(nothing)
    await settler.stop(0.01)
    assert sorted(left(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("used", [17, 0])
async def test_stopping_leaves_nothing_behind_that_waits(used: int) -> None:
    settler = Settler(store(reservations=["a"]), recorded=asyncio.Event().wait)  # type: ignore[arg-type]
    settler.start()
    settler.put(Settlement("contoso", "a", Used(1 if used else 0, used)))
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    await settler.stop(0.01)
    await asyncio.sleep(0)
    assert {task.get_name() for task in asyncio.all_tasks() & before if task is not asyncio.current_task()} == set()
