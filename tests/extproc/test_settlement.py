"""Settlement: every entry once, in order; decisions first; bounded memory; lines that are never lost."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace

import pytest

from extproc import settlement as module
from extproc.chain import Chain, Link
from extproc.completion import Completion
from extproc.policy import Policy
from extproc.protos import StreamAccessLogsMessage
from extproc.settlement import Settlement
from extproc.travel import Travel


class Settles(Policy):
    """Keeps what it is told. Waits for the paths that say so."""

    name = "settles"

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.go_on = asyncio.Event()

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        self.paths.append(completion.path)
        return self._wait() if completion.path.startswith("/waits") else None

    async def _wait(self) -> None:
        await self.go_on.wait()


def logged(*paths: str) -> bytes:
    message = StreamAccessLogsMessage()
    for path in paths:
        message.http_logs.log_entry.add().request.path = path
    return bytes(message.SerializeToString())


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()]


async def test_in_order_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    settlement.start()
    many = [f"/{number}" for number in range(500)]
    settlement.take(logged(*many[:200]))
    settlement.take(logged(*many[200:]))
    await settlement.stop(10)
    assert policy.paths == told(capsys) == many
    assert settlement.counters()["completions"] == 500


async def test_others_have_their_turn_while_much_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With slices of no length each entry lets the event loop go round once."""
    monkeypatch.setattr(module, "_SLICE", -1.0)
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    settlement.start()
    settlement.take(logged(*(f"/{number}" for number in range(100))))
    seen = []
    for _ in range(50):
        await asyncio.sleep(0)
        seen.append(len(policy.paths))
    assert seen == sorted(seen)
    assert 40 <= seen[-1] <= 51
    await settlement.stop(10)
    assert len(policy.paths) == 100


async def test_lines_do_not_wait_for_a_policy_that_does(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    settlement.start()
    settlement.take(logged("/1", "/waits", "/2"))
    await asyncio.sleep(0.05)
    assert told(capsys) == ["/1", "/waits"]
    policy.go_on.set()
    await settlement.stop(10)
    assert told(capsys) == ["/2"]


async def test_what_was_settled_is_told_though_the_grace_is_over(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    settlement = Settlement(Chain([Link(Settles())]), Travel())
    settlement.start()
    settlement.take(logged("/1", "/waits", "/2"))
    await settlement.stop(0.05)
    await asyncio.sleep(0)
    assert told(capsys) == ["/1", "/waits"]
    assert "unsettled" in caplog.text


async def test_a_flood_does_not_take_the_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = logged("/1")
    monkeypatch.setattr(module, "_QUEUE_BYTES", 10 * len(one))
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    for _ in range(25):
        settlement.take(one)
    settlement.start()
    await asyncio.sleep(0.05)
    settlement.take(one)
    await settlement.stop(10)
    assert len(policy.paths) == 11
    assert "settlement is behind" in caplog.text


async def test_what_is_no_message_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    settlement.start()
    with caplog.at_level(logging.ERROR):
        settlement.take(b"\xff\xff")
        settlement.take(logged("/1"))
        await settlement.stop(10)
    assert policy.paths == ["/1"]
    assert "cannot be read" in caplog.text


async def test_a_log_that_nobody_can_write_does_not_end_settlement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full, or whoever read the lines has gone. Policies settle on: budgets must not stand still."""
    policy = Settles()
    settlement = Settlement(Chain([Link(policy)]), Travel())
    settlement.start()
    with monkeypatch.context() as patch, Path("/dev/full").open("wb", buffering=0) as full:
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=full))
        settlement.take(logged("/1"))
        await asyncio.sleep(0.05)
    settlement.take(logged("/2"))
    await settlement.stop(1)
    assert policy.paths == ["/1", "/2"]
    assert told(capsys) == ["/2"]
    assert settlement.counters()["log_lines_lost"] > 0
