"""One attempt to deliver a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from policies.audit.following.delivering import Delivery, begin, deliver
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.record import Closed
from tests.policies.audit.following.rigs import FakeJournal, Recorder


@pytest.mark.parametrize(
    ("error", "delivery"),
    [
        (None, Delivery(frozenset({0, 1, 2, 3}))),
        (RejectedError([2], "no"), Delivery(frozenset(), frozenset({2}), "no")),
        (RejectedError([1, 3, 9, -1], "no"), Delivery(frozenset(), frozenset({1, 3}), "no")),
        (RejectedError([2], "no", delivered=2), Delivery(frozenset({0, 1}), frozenset({2}), "no")),
        (RejectedError([0], "no", delivered=99), Delivery(frozenset({1, 2, 3}), frozenset({0}), "no")),
    ],
)
async def test_what_came_of_it(tmp_path: Path, error: Exception | None, delivery: Delivery) -> None:
    sink = Recorder()
    sink.error = error
    assert await deliver(sink, FakeJournal(tmp_path).append(4), 5.0) == delivery


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SinkError("it is down"), "it is down"),
        (RejectedError([], "no"), "not given"),
        (RejectedError([7], "no"), "not given"),
        (ValueError("of user-17"), "^ValueError$"),
        (SystemExit(3), "^SystemExit$"),
        (asyncio.CancelledError(), "^CancelledError$"),
        (TimeoutError(), "no end within 5 s"),
    ],
)
async def test_whatever_else_it_raises_is_tried_again(
    tmp_path: Path, error: BaseException, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Recorder()
    sink.error = error
    with pytest.raises(SinkError, match=said):
        await deliver(sink, FakeJournal(tmp_path).append(2), 5.0)
    assert "user-17" not in caplog.text


class Hanging(Recorder):
    async def deliver(self, batch: Sequence[Closed]) -> None:
        await asyncio.Event().wait()

    async def start(self) -> None:
        await asyncio.Event().wait()


async def test_one_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no end within"):
        await deliver(Hanging(), FakeJournal(tmp_path).append(1), 0.01)
    with pytest.raises(SinkError, match="did not start"):
        await begin(Hanging(), 0.01)


async def test_who_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    task = asyncio.get_running_loop().create_task(deliver(Hanging(), FakeJournal(tmp_path).append(1), 60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Unready(Recorder):
    async def start(self) -> None:
        raise KeyError("secret")


async def test_one_that_cannot_start_is_tried_again() -> None:
    with pytest.raises(SinkError, match=r"^KeyError$"):
        await begin(Unready(), 5.0)
