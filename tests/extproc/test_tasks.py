"""Background tasks are held, and none fails unseen."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref

import pytest

from extproc.tasks import TaskExitError, aside, drain, hold, spawn
from tests.servers import REPOSITORY


async def test_a_task_gives_its_result() -> None:
    async def work() -> int:
        return 7

    task = spawn(work(), name="seven")
    assert task.get_name() == "seven"
    assert await task == 7


async def test_a_task_is_held_while_it_runs() -> None:
    """A future that only the task refers to: without a strong reference both are a cycle that may be collected."""
    done: list[str] = []
    gate: list[weakref.ref[asyncio.Future[None]]] = []

    async def work() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.append(weakref.ref(future))
        await future
        done.append("done")

    spawn(work(), name="held")
    await asyncio.sleep(0)
    gc.collect()
    future = gate[0]()
    assert future is not None
    future.set_result(None)
    del future
    await drain(1)
    assert done == ["done"]


async def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("broken")

    task = spawn(work(), name="breaking")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
        (logging.ERROR, "task breaking failed: RuntimeError")
    ]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_a_task_does_not_end_the_process(kind: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise kind

    task = spawn(work(), name="leaving")
    with pytest.raises(TaskExitError, match=kind.__name__):
        await task
    await asyncio.sleep(0)
    assert [one.getMessage() for one in caplog.records] == ["task leaving failed: TaskExitError"]


async def test_a_task_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    task = spawn(work(), name="never")
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors
    assert task.cancelled()
    assert begun == []


async def test_cancellation_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.sleep(60), name="cancelled")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert caplog.records == []


async def test_draining_waits_and_then_cancels() -> None:
    quick = spawn(asyncio.sleep(0.01), name="quick")
    late = spawn(asyncio.sleep(60), name="late")
    await drain(0.1)
    assert quick.done()
    assert not quick.cancelled()
    assert late.cancelled()
    await drain(60)


async def test_who_drains_does_not_wait_for_itself() -> None:
    async def work() -> str:
        await drain(60)
        return "drained"

    assert await asyncio.wait_for(spawn(work(), name="draining"), 5) == "drained"


async def test_aside() -> None:
    main = threading.get_ident()
    assert await aside(threading.get_ident, name="other") != main
    for error, seen in ((KeyError("x"), KeyError), (SystemExit(), TaskExitError)):

        def work(error: BaseException = error) -> None:
            raise error

        with pytest.raises(seen):
            await aside(work, name="fails")


def test_nobody_waits_at_the_end_for_what_is_done_aside() -> None:
    program = """
import asyncio, threading
from extproc.tasks import aside

async def main():
    try:
        async with asyncio.timeout(0.05):
            await aside(threading.Event().wait, name="for ever")
    except TimeoutError:
        print("went on")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=True, cwd=REPOSITORY)
    assert (done.stdout, done.stderr) == (b"went on\n", b"")


async def test_what_is_held_by_its_caller_runs_beside_it() -> None:
    order: list[str] = []

    async def work() -> int:
        order.append("work")
        return 7

    task = hold(work())
    order.append("caller")
    assert await task == 7
    assert order == ["caller", "work"]
