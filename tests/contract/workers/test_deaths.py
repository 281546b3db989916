"""Workers that are killed, or hang: no request fails that need not fail, none passes unjudged, each is settled once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from extproc.tasks import spawn
from tests.contract.workers.place import CLIENTS, Load, Place, closed
from tests.served import CHAT, PROMPT

pytestmark = pytest.mark.stack


async def test_a_worker_is_killed_under_load(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    os.kill(await place.pid(1), signal.SIGKILL)
    killed = time.monotonic()
    await load.until(150)
    await place.until(lambda: place.count("worker_ended") == 1)
    await load.stop()
    assert load.faults == []
    assert len(load.failed()) <= CLIENTS
    assert all(closed(load.answers[one]) for one in load.failed())
    # Whoever came after waited for the next worker, or asked the other one.
    assert [one for one in load.failed() if load.begun[one] > killed + 0.5] == []
    await place.settled(set(load.answers))
    workers = await place.workers()
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [1, 2, 1]


async def test_what_a_killed_worker_had_not_decided_is_refused_and_nothing_passes_unjudged(
    place: Place, load: Load
) -> None:
    # Both have connections of Envoy's: what waits for a connection to be accepted waits for the next worker.
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(20)] == [200] * 20
    await place.forget()
    pid = await place.pid(1)
    os.kill(pid, signal.SIGSTOP)
    asked = [spawn(load.client.post(CHAT, json=PROMPT), name="client") for _ in range(20)]
    await asyncio.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert all(closed(answer) for answer in refused)
    assert len(refused) < 20
    assert await place.arrived() == 20 - len(refused)
    await place.until(lambda: place.count("worker_started") == 4)
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(20)] == [200] * 20


async def test_who_has_no_connection_yet_waits_for_the_next_worker(place: Place, load: Load) -> None:
    pids = [await place.pid(index) for index in (1, 2)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    # Until Envoy has seen its connections end, a request may still be sent to one of them.
    await place.until(lambda: place.count("worker_ended") == 2)
    await asyncio.sleep(0.1)
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(5)] == [200] * 5


async def test_decisions_do_not_notice_that_settlement_is_killed(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    os.kill(await place.pid(0), signal.SIGKILL)
    await load.until(50)
    await place.until(lambda: place.count("worker_started") == 4)
    await load.until(50)
    await load.stop()
    assert load.faults == []
    assert load.statuses() == {200: len(load.answers)}
    before = len(place.completions())
    again = [await load.client.post(CHAT, json=PROMPT) for _ in range(20)]
    await place.settled({answer.headers["x-request-id"] for answer in again})
    assert before > 0
    workers = await place.workers()
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [2, 1, 1]
    assert [workers[index]["counters"]["completions"] for index in (1, 2)] == [0, 0]


async def test_those_that_hang_are_asked_little_and_replaced(place: Place, load: Load) -> None:
    """One that decides and the one that settles are stopped: neither says a word, and neither answers Envoy's pings."""
    load.start()
    await load.until(50)
    await place.forget()
    begun = len(load.answers)
    for index in (0, 1):
        os.kill(await place.pid(index), signal.SIGSTOP)
    await place.until(lambda: place.count("worker_ended") == 2)
    await place.until(lambda: place.count("worker_started") == 5)
    await load.until(50)
    workers = await place.workers()
    while not all(worker["ready"] for worker in workers.values()):
        await asyncio.sleep(0.1)
        workers = await place.workers()
    replaced = time.monotonic()
    await load.until(50)
    await load.stop()
    assert load.faults == []
    assert all(closed(load.answers[one]) for one in load.failed())
    assert len(load.failed()) < (len(load.answers) - begun) / 4
    assert [one for one in load.failed() if load.begun[one] > replaced] == []
    assert {one["why"] for one in place.events() if one["event"] == "worker_killed"} == {"silent for 10 s"}
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [2, 2, 1]
    again = [await load.client.post(CHAT, json=PROMPT) for _ in range(20)]
    await place.settled({answer.headers["x-request-id"] for answer in again})


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_after_three_seconds_nobody_is_sent_to_one_that_does_not_answer(
    place: Place, load: Load, number: signal.Signals
) -> None:
    """Its socket stays open at the supervisor: the kernel accepts whoever connects, and only Envoy's checks tell."""
    load.start()
    await load.until(50)
    os.kill(await place.pid(1), number)
    stricken = time.monotonic()
    await asyncio.sleep(7)
    await load.stop()
    assert load.faults == []
    late = [one for one, begun in load.begun.items() if begun > stricken + 3]
    assert len(late) > 50
    assert [one for one in late if load.answers[one].status_code != 200] == []
    assert [one for one in late if load.took[one] >= 1] == []
    assert all(closed(load.answers[one]) for one in load.failed())
