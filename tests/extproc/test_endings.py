"""Policies are told how an exchange ended: one that hangs takes its time and no more. (Failures: see test_chain.py.)"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec.structs import replace

from extproc import endings
from extproc.actuals import Basis, Charged
from extproc.chain import Link
from extproc.completion import Completion
from extproc.endings import tell
from extproc.policy import Policy
from extproc.price import Portions
from extproc.tasks import spawn
from tests.extproc.test_chain import COMPLETION

CHARGED = Charged(Portions(5), Basis.METERED, 1, 5, None)


class Told(Policy):
    """Writes down that it was told, at once or when it is let."""

    def __init__(self, name: str, log: list[str], *, gate: asyncio.Event | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self.log, self.gate = log, gate
        self.ended = False

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        self.log.append(self.name)
        return self._wait(self.gate) if self.gate is not None else None

    async def _wait(self, gate: asyncio.Event) -> None:
        try:
            await gate.wait()
            self.log.append(f"{self.name} done")
        finally:
            self.ended = True


def test_where_nobody_waits_all_know_at_once() -> None:
    log: list[str] = []
    assert tell([Link(Told(name, log)) for name in "abc"], COMPLETION) is None
    assert log == ["a", "b", "c"]
    assert tell([], COMPLETION) is None


async def _given(pending: Awaitable[None]) -> None:
    await pending


async def test_who_stands_behind_one_that_waits_is_told_after_it() -> None:
    log: list[str] = []
    gate = asyncio.Event()
    pending = tell([Link(Told("a", log)), Link(Told("b", log, gate=gate)), Link(Told("c", log))], COMPLETION)
    assert pending is not None
    waiting = spawn(_given(pending), name="settled")
    await asyncio.sleep(0.01)
    assert log == ["a", "b"]
    gate.set()
    await waiting
    assert log == ["a", "b", "b done", "c"]


async def test_one_that_hangs_is_ended_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endings, "_SECONDS", 0.01)
    log: list[str] = []
    hanging = [Told(name, log, gate=asyncio.Event()) for name in "bd"]
    links = [Link(Told("a", log)), Link(hanging[0]), Link(Told("c", log)), Link(hanging[1]), Link(Told("e", log))]
    pending = tell(links, COMPLETION)
    assert pending is not None
    await pending
    assert log == ["a", "b", "c", "d", "e"]
    # Each has its own time.
    assert all(policy.ended for policy in hanging)
    assert caplog.messages == [f"policy {name} failed to settle exchange ex-1" for name in "bd"]


async def test_what_one_puts_the_next_reads() -> None:
    """Who keeps the counters says what was charged; who stands behind it writes that down."""
    read: list[Charged | None] = []

    class Charges(Policy):
        name = "charges"

        def on_settle(self, completion: Completion) -> None:
            completion.put(CHARGED)

    class Reads(Policy):
        name = "reads"

        async def on_settle(self, completion: Completion) -> None:
            await asyncio.sleep(0)
            read.append(completion.get(Charged))

    pending = tell([Link(Charges()), Link(Reads())], replace(COMPLETION, facts={}))
    assert pending is not None
    await pending
    assert read == [CHARGED]
    assert COMPLETION.get(Charged) is None


async def test_shadow_and_open_are_about_verdicts_and_all_settle() -> None:
    log: list[str] = []
    assert tell([Link(Told("a", log), shadow=True)], COMPLETION) is None
    assert log == ["a"]
