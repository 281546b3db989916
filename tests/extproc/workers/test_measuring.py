"""What workers count reaches the supervisor, and stays there whoever is killed or replaced. Fake workers, real pipes."""

from __future__ import annotations

import os
import signal
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from extproc.metrics import Metrics
from tests.extproc.workers.supervised import Supervised, supervised


@pytest.fixture
async def one(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Supervised]:
    async with supervised(capsys) as made:
        yield made


def snapshots(*amounts: int) -> list[str]:
    """As a worker tells them, one after the other."""
    metrics = Metrics()
    counter, gauge = metrics.counter("x_total", "X.", ("a",)), metrics.gauge("x", "X.")
    told: list[str] = []
    for amount in amounts:
        counter.add(("v",), amount)
        gauge.set(amount)
        told += [b64encode(piece).decode() for piece in metrics.take()]
    return told


def sums(one: Supervised) -> dict[str, int]:
    told = one.supervisor.board.metrics()
    return {found.definition.name: sum(row[0] for row in found.rows.values()) for found in told.metrics}


async def test_every_snapshot_counts_once_and_none_is_lost_with_its_worker(one: Supervised) -> None:
    given = one.given(behaviours={"all": "count"})
    given.tree["snapshots"] = snapshots(3, 4)
    one.start(given)
    # Two that decide, and one that settles.
    await one.until(lambda: sums(one) == {"x_total": 21, "x": 12})
    pid = one.pids[1]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await one.until(lambda: sums(one) == {"x_total": 28, "x": 12})
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until_logged("reloaded")
    await one.until(lambda: sums(one) == {"x_total": 49, "x": 12})
    assert one.supervisor.board.metrics().refused == 0


async def test_a_worker_that_tells_nonsense_is_counted_and_the_others_are_heard(one: Supervised) -> None:
    nonsense = [b64encode(data).decode() for data in (b"", b"\xc1", b"\x91" * 40_000)]
    given = one.given(behaviours={"1": "count"})
    given.tree["snapshots"] = [*nonsense, "%%%", *snapshots(3)]
    one.start(given)
    await one.until(lambda: sums(one) == {"x_total": 3, "x": 3})
    assert one.supervisor.board.metrics().refused == 3
    assert one.views[1].ready
    assert one.views[1].starts == 1
