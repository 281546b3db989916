"""Starts children stage by stage, watches them, and ends them all, whatever happens.

Stages start in order, the children of one stage together; children end in the opposite order, one after the other. The
death of any child, at any time, ends the whole, but for one that is to be started again. Cancelling (Ctrl-C) ends the
whole as well, also in the middle of the start; cancelling again while it ends takes away all patience. Nothing is left
behind in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from extproc.embedded.child import Child, Plan
from extproc.embedded.faults import StackError
from extproc.embedded.waiting import GLANCE, until
from extproc.tasks import spawn

T = TypeVar("T")
_AGAIN: Final = 1.0
"""Seconds until one that died and was started again is looked at."""

Report = Callable[[str, str], None]
"""Told the name of a child and what is happening to it: `starting`, `ready`, `stopping`, `stopped`."""


class Supervisor:
    """Runs the stages of a stack around a piece of work."""

    def __init__(self, stages: Sequence[Sequence[Plan]], *, logs: Path, report: Report) -> None:
        self._stages = stages
        self._logs = logs
        self._report = report
        self._children: list[Child] = []
        self._hurry = asyncio.Event()
        self._served = False

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Start every stage, do `work`, end every child.

        Raises:
            StackError: a child died, or was not ready in time; its last lines come with the error.
        """
        orderly = True
        try:
            return await self._watched(work)
        except StackError:
            # What lies in ruins is not asked to finish its work: it would wait for the one that died.
            orderly = False
            raise
        finally:
            ending = spawn(self._stop(orderly=orderly), name="stop the stack")
            while not ending.done():
                try:
                    await asyncio.shield(ending)
                except asyncio.CancelledError:
                    self._hurry.set()

    async def _watched(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                try:
                    await self._start()
                    self._served = True
                    return await work()
                finally:
                    watch.cancel()
        except ExceptionGroup as group_of_one:
            raise group_of_one.exceptions[0] from None

    async def _watch(self) -> None:
        while True:
            for index, child in enumerate(self._children):
                if child.ended() and child.plan.again and self._served:
                    self._report(child.plan.name, "starting")
                    self._children[index] = Child(child.plan, self._logs)
                    # One that cannot run is not started a hundred times a second.
                    await asyncio.sleep(_AGAIN)
                elif child.ended():
                    message = f"{child.plan.name} {child.fate()}; its last lines stand above, all of them in {child.log}"
                    raise StackError(message, child.last_lines())
            await asyncio.sleep(GLANCE)

    async def _start(self) -> None:
        for stage in self._stages:
            for child in [self._launch(plan) for plan in stage]:
                await self._until_ready(child)

    def _launch(self, plan: Plan) -> Child:
        self._report(plan.name, "starting")
        try:
            child = Child(plan, self._logs)
        except OSError as error:
            raise StackError(f"{plan.name} cannot be started: {error}") from error
        self._children.append(child)
        return child

    async def _until_ready(self, child: Child) -> None:
        try:
            async with asyncio.timeout(child.plan.patience):
                await until(lambda: child.plan.ready(child.log))
        except TimeoutError:
            message = f"{child.plan.name} was not ready within {child.plan.patience:g} s; its last lines stand above, "
            raise StackError(f"{message}all of them in {child.log}", child.last_lines()) from None
        self._report(child.plan.name, "ready")

    async def _stop(self, *, orderly: bool) -> None:
        try:
            for child in reversed(self._children):
                if not child.ended():
                    self._report(child.plan.name, "stopping")
                    await self._unless_hurried(self._end(child, orderly=orderly))
                    child.kill()
                self._report(child.plan.name, "stopped")
        finally:
            for child in self._children:
                child.kill()

    async def _unless_hurried(self, ending: Awaitable[None]) -> None:
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(_as_coroutine(ending))
            hurried = group.create_task(_as_coroutine(self._hurry.wait()))
            await asyncio.wait((patient, hurried), return_when=asyncio.FIRST_COMPLETED)
            patient.cancel()
            hurried.cancel()

    async def _end(self, child: Child, *, orderly: bool) -> None:
        if orderly and child.plan.retire is not None:
            await child.plan.retire()
        child.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(child.plan.grace):
                await until(child.has_ended)


async def _as_coroutine(work: Awaitable[object]) -> None:
    await work
