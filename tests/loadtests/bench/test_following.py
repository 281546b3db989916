"""When a target's journal has been brought to everybody, and who takes it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from extproc.tasks import spawn
from loadtests.bench import following, targets
from loadtests.bench.following import BehindError, until_brought
from loadtests.bench.receiver import Receiver
from loadtests.bench.targets import Kind
from policies.audit.following.status import SinkState, SinkStatus, Status, write_status

LANGFUSE = Kind("x", "wire", "langfuse")


def said(*, age: float = -60.0, **members: Any) -> Status:
    """A status that is written so many seconds before now; the default: it will be new for a minute."""
    one = SinkStatus(**{"state": SinkState.FOLLOWING, **members})
    return Status(pid=1, sinks={"langfuse": SinkStatus(state=SinkState.FOLLOWING), "traces": one}, time=time.time() - age)


async def test_all_is_brought_when_nobody_is_behind(tmp_path: Path) -> None:
    write_status(tmp_path, said())
    await until_brought(tmp_path, 5.0)


async def test_it_waits_until_nobody_is_behind(tmp_path: Path) -> None:
    write_status(tmp_path, said(behind_records=3))
    waiting = spawn(until_brought(tmp_path, 20.0), name="waiting")
    await asyncio.sleep(0.3)
    assert not waiting.done()
    write_status(tmp_path, said())
    await waiting


@pytest.mark.parametrize(
    "status",
    [
        None,
        # It was written before the last record was.
        said(age=1.0),
        said(behind_records=1),
        said(state=SinkState.RETRYING),
        said(state=SinkState.STARTING),
    ],
    ids=["none", "old", "behind", "retrying", "starting"],
)
async def test_one_that_stays_behind_is_said(tmp_path: Path, status: Status | None) -> None:
    if status is not None:
        write_status(tmp_path, status)
    with pytest.raises(BehindError, match="not everything was brought"):
        await until_brought(tmp_path, 0.25)


@pytest.mark.parametrize("lost", ["refused", "missed", "dead_letters"])
async def test_what_was_lost_was_not_brought(tmp_path: Path, lost: str) -> None:
    write_status(tmp_path, said(**{lost: 1}))
    with pytest.raises(BehindError, match="traces did not take everything"):
        await until_brought(tmp_path, 5.0)


def test_the_journal_is_followed_for_both(tmp_path: Path) -> None:
    sinks = following.sinks(tmp_path, 4, 5)
    tree = targets.gateway_tree(
        port=1,
        socket=tmp_path / "s",
        upstream="http://127.0.0.1:2",
        identity="http://127.0.0.1:3",
        kind=LANGFUSE,
        sinks=sinks,
    )
    settings = tree["policies"][-1]["settings"]
    assert [sink["kind"] for sink in settings["sinks"]] == ["langfuse", "traces"]
    assert settings["journal"]["folder"] == str(targets.journal_folder(tmp_path, LANGFUSE))
    assert {Path(sinks[0][name]["file"]).name for name in following.KEYS} == set(following.KEYS)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_whatever_is_posted_is_taken_one_after_the_other(size: int) -> None:
    async with receiving() as url, httpx.AsyncClient() as client:
        for _ in range(3):
            answer = await client.post(url, content=b"x" * size)
            assert (answer.status_code, answer.content) == (200, b"")


async def test_what_says_no_length_is_not_taken() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    async with receiving() as url, httpx.AsyncClient() as client:
        assert (await client.post(url, content=pieces())).status_code == 411
