from __future__ import annotations

import asyncio

import pytest

from extproc.deadlines import Deadlines
from extproc.tasks import hold


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _forever() -> None:
    await asyncio.Event().wait()


async def test_what_comes_in_time_is_given() -> None:
    async def soon() -> str:
        await asyncio.sleep(0)
        return "here"

    assert await Deadlines().wait(soon(), _now() + 10) == "here"


async def test_what_raises_in_time_raises() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await Deadlines().wait(fails(), _now() + 10)


async def test_who_waits_too_long_is_cancelled_and_told_so() -> None:
    cancelled: list[bool] = []

    async def stubborn() -> None:
        try:
            await _forever()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError):
        await Deadlines().wait(stubborn(), _now() + 0.02)
    assert cancelled == [True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    # Nothing is left of it: the next await is not cancelled.
    await asyncio.sleep(0.03)


async def test_only_those_who_are_late_are_cancelled() -> None:
    deadlines = Deadlines()
    start = _now()
    waiters = [hold(deadlines.wait(_forever(), start + after)) for after in (0.02, 60, 0.02, 60)]
    await asyncio.wait(waiters[::2])
    assert [type(waiter.exception()) for waiter in waiters[::2]] == [TimeoutError, TimeoutError]
    assert not any(waiter.done() for waiter in waiters[1::2])
    for waiter in waiters[1::2]:
        waiter.cancel()
    await asyncio.wait(waiters)
    assert all(waiter.cancelled() for waiter in waiters[1::2])


async def test_who_is_cancelled_from_outside_is_cancelled() -> None:
    deadlines = Deadlines()
    waiter = hold(deadlines.wait(_forever(), _now() + 60))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert waiter.cancelled()


async def test_who_is_late_and_cancelled_at_once_is_cancelled() -> None:
    deadlines = Deadlines()

    async def late_and_cancelled() -> None:
        await deadlines.wait(_forever(), _now() - 1)

    waiter = hold(late_and_cancelled())
    await asyncio.sleep(0)
    waiter.cancel()
    deadlines._look()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_one_who_takes_the_cancellation_for_an_answer_has_answered() -> None:
    async def calm() -> str:
        try:
            await _forever()
        except asyncio.CancelledError:
            return "all the same"
        return "never"

    assert await Deadlines().wait(calm(), _now() + 0.02) == "all the same"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_may_wait_again() -> None:
    deadlines = Deadlines()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await deadlines.wait(_forever(), _now())


async def test_nobody_waits_and_nothing_rings() -> None:
    deadlines = Deadlines()
    await deadlines.wait(asyncio.sleep(0), _now() + 1)
    await asyncio.sleep(0.03)
    assert deadlines._timer is None
