"""The end of all workers: what has begun is finished and settled, and nobody is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.contract.workers.place import Load, Place, closed
from tests.served import CHAT, PROMPT

pytestmark = pytest.mark.stack


async def test_the_end_finishes_what_has_begun_and_settles_it(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    place.signal(signal.SIGTERM)
    await place.until(lambda: place.count("stopped") == 1)
    await load.until(20)
    await load.stop()
    assert place.server is not None
    assert place.server.process.wait(10) == 0
    assert load.faults == []
    assert all(closed(load.answers[one]) for one in load.failed())
    assert load.failed()
    await place.settled(load.passed())
    assert not list(place.folder.glob("*.sock"))
    ended = [one["worker"] for one in place.events() if one["event"] == "worker_ended"]
    assert (sorted(ended[:2]), ended[2:]) == ([1, 2], [0])


async def test_workers_go_when_their_supervisor_was_killed(place: Place, load: Load) -> None:
    pids = [worker["pid"] for worker in (await place.workers()).values()]
    place.signal(signal.SIGKILL)
    await place.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert closed(await load.client.post(CHAT, json=PROMPT))
