"""Background tasks that are held, named, and never fail unseen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")

_log = logging.getLogger(__name__)
_running: Final[set[asyncio.Task[Any]]] = set()


def waits(value: object) -> TypeIs[Awaitable[Any]]:
    """Whether `value` is to be awaited. `inspect.isawaitable` says the same in five times the time."""
    return hasattr(value, "__await__")


def hold(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run `work` beside the caller, who holds the task, and whose `work` lets no exception pass but its cancellation.

    A third of what `spawn` costs: for what is begun with every exchange.
    """
    return asyncio.get_running_loop().create_task(work)


class TaskExitError(Exception):
    """A background task wanted to end the process."""


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Run `work` beside the caller. The event loop alone would keep only a weak reference to the task.

    `SystemExit` and `KeyboardInterrupt` in `work` fail the task with a `TaskExitError`: a task that raised them itself
    would end the event loop, and so the process, for everybody.
    """
    task = asyncio.get_running_loop().create_task(_contained(work), name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    # Where the task was cancelled before it began, nobody else does.
    task.add_done_callback(lambda _: work.close())
    return task


async def _contained(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise TaskExitError(type(error).__name__) from error


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s failed: %s", task.get_name(), type(error).__name__, exc_info=error)


async def aside(work: Callable[[], T], *, name: str) -> T:
    """What `work` gives, from a thread of its own.

    Nobody waits for that thread at the end: `asyncio.to_thread` would, for as long as it takes, and its threads are few.
    `SystemExit` and `KeyboardInterrupt` become a `TaskExitError`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(how: Callable[[Any], None], what: object) -> None:
        # The loop may have gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else how(what))

    def run() -> None:
        try:
            found = work()
        except (SystemExit, KeyboardInterrupt) as error:
            tell(done.set_exception, TaskExitError(type(error).__name__))
        except BaseException as error:
            tell(done.set_exception, error)
        else:
            tell(done.set_result, found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def ends_us(error: BaseException) -> bool:
    """Whether `error` ends the task that runs from outside: it was cancelled, or its coroutine is being closed.

    Whatever else is raised in what it awaits is a failure of that: also `SystemExit`, a panic of a native extension, or
    the `CancelledError` of another task that was waited for.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit)


async def drain(seconds: float) -> None:
    """Wait for the tasks in flight, at most `seconds`, then cancel the rest."""
    tasks = [task for task in _running if task is not asyncio.current_task()]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1)
