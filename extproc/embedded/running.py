"""Runs the stack of a configuration around a piece of work, so that it can be interrupted at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from extproc.embedded.stack import Stack, prepare
from extproc.embedded.state import occupied
from extproc.embedded.supervisor import Report, Supervisor

T = TypeVar("T")


@dataclass(slots=True)
class Interruption:
    """The signal that came first, if any."""

    signal: signal.Signals | None = None


async def run_stack(
    tree: Mapping[str, Any],
    *,
    state: Path,
    port: int | None,
    report: Report,
    work: Callable[[Stack], Awaitable[T]],
    profile: str | None = None,
    aigw: Path | None = None,
) -> T:
    """Start the stack, do `work`, end the stack; nothing is left behind, however it ends.

    Raises:
        ConfigurationError: the configuration is not usable; nothing was started.
        StackError: the stack cannot start, or a part of it died.
    """
    from extproc.assembly import assemble

    with occupied(state) as sockets:
        stack = prepare(tree, state=state, sockets=sockets, port=port, profile=profile, aigw=aigw)
        # The policy server would say the same, but in its log, and after the others had been started.
        assemble(stack.settings)
        supervisor = Supervisor(stack.stages, logs=state / "logs", report=report)
        return await supervisor.run(lambda: work(stack))


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns Ctrl-C, SIGTERM and the end of the terminal into a cancellation of the current task; again, into another."""
    interruption, task, loop = Interruption(), asyncio.current_task(), asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    # Under nohup the end of the terminal is to be ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)

    def interrupt(number: signal.Signals) -> None:
        interruption.signal = interruption.signal or number
        if task is not None:
            task.cancel()

    for number in signals:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield interruption
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
