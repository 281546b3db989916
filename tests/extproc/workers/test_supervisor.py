"""The supervisor: who is started, who is told what, who ends when. Fake workers; real sockets, pipes and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extproc.mistakes import ConfigurationError
from extproc.placement import Seat
from extproc.workers.slot import Patience
from extproc.workers.supervisor import Given, WorkersError, worker_program
from tests.extproc.workers.supervised import Supervised, program, supervised


@pytest.fixture
async def one(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Supervised]:
    async with supervised(capsys) as made:
        yield made


def ends(events: list[dict[str, Any]]) -> list[int]:
    """The seats whose workers have ended, in order."""
    return [event["worker"] for event in events if event["event"] == "worker_ended"]


async def test_every_seat_has_a_worker_and_settlement_ends_last(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    await one.until(lambda: one.supervisor.overview().ready)
    assert await one.generations() == [1, 1, 1]
    assert len(set(one.pids.values())) == 3
    await one.end()
    events = one.events()
    assert [event["event"] for event in events][:4] == ["worker_started"] * 3 + ["listening"]
    listening = {"address": f"unix:{one.folder}/p.sock", "transport": "wire", "workers": 2}
    assert events[3] == {"timestamp": events[3]["timestamp"], "event": "listening"} | listening
    assert sorted(ends(events)[:2]) == [1, 2]
    assert ends(events)[2] == 0
    assert (events[-1]["event"], len(events[-1])) == ("stopped", 2)
    assert list(one.folder.iterdir()) == []


async def test_who_dies_is_replaced_and_whoever_connects_meanwhile_waits(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    before = one.pids
    assert await one.ask("1") == (before[1], 1)
    assert before[1] is not None
    await one.until(lambda: one.views[1].counters.get("streams") == 1)
    os.kill(before[1], signal.SIGKILL)
    pid, generation = await one.ask("1")
    assert (pid != before[1], generation) == (True, 1)
    await one.until_logged("worker_ended")
    await one.until(lambda: one.views[1].ready)
    assert (one.pids[1], one.pids[2], one.pids[0]) == (pid, before[2], before[0])
    assert one.views[1].starts == 2
    (ended,) = [event for event in one.events() if event["event"] == "worker_ended"]
    assert (ended["pid"], ended["worker"], ended["role"], ended["signal"]) == (before[1], 1, "decide", "SIGKILL")
    await one.until(lambda: one.views[1].counters["streams"] == 2)


async def test_one_that_cannot_start_is_tried_again_and_the_others_serve(one: Supervised) -> None:
    one.start(one.given(behaviours={"2": "die"}))
    await one.until_logged("listening")
    await one.until_logged("worker_ended", 3)
    assert one.supervisor.overview().ready
    assert not one.views[2].ready
    assert {event["status"] for event in one.events() if event["event"] == "worker_ended"} == {3}
    assert (await one.ask("1"))[1] == 1


@pytest.mark.parametrize(
    ("behaviours", "reason"),
    [
        ({"all": "fail"}, "seat 1 cannot"),
        ({"all": "die"}, "ended with status 3"),
        ({"all": "mute"}, "said nothing"),
    ],
)
async def test_where_nobody_can_start_it_says_why_and_ends(
    one: Supervised, behaviours: dict[str, str], reason: str
) -> None:
    one.start(one.given(behaviours=behaviours))
    with pytest.raises(WorkersError, match=reason):
        await one.task
    assert "listening" not in one.names()
    assert list(one.folder.iterdir()) == []


async def test_it_can_be_ended_while_it_starts(one: Supervised) -> None:
    one.start(one.given(behaviours={"all": "mute"}))
    await one.until_logged("worker_started", 3)
    await one.end()
    assert sorted(ends(one.events())) == [0, 1, 2]
    assert "listening" not in one.names()


async def test_an_address_that_is_taken(one: Supervised) -> None:
    one.start(one.given(listen="203.0.113.1:9000"))
    with pytest.raises(OSError, match="cannot listen on"):
        await one.task


@pytest.mark.parametrize("behaviour", ["hang", "babble"])
async def test_one_that_hangs_is_ended_and_replaced(one: Supervised, behaviour: str) -> None:
    one.start(one.given(behaviours={"1": behaviour}))
    await one.until(lambda: one.views[1].starts >= 2)
    fates = [(event["worker"], event.get("signal")) for event in one.events() if event["event"] == "worker_ended"]
    assert fates[0] == (1, "SIGKILL")
    assert (await one.ask("2"))[1] == 1


async def test_one_that_speaks_and_never_serves_is_ended_each_time(one: Supervised) -> None:
    """Its policies wait for somebody who does not answer. The first is ended by the start; so must be the next."""
    one.start(one.given(behaviours={"1": "wait"}))
    await one.until(lambda: one.views[1].starts >= 3)
    killed = [event for event in one.events() if event["event"] == "worker_killed"]
    assert [(event["worker"], event["why"]) for event in killed] == [(1, "it does not serve after 3 s")]


async def test_a_seat_is_filled_again_whatever_kept_its_worker_from_starting(
    one: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = program, []

    def failing(seat: Seat, listening: int, status: int) -> Sequence[str]:
        calls.append(seat.index)
        if len(calls) == 4:
            raise RuntimeError("can't start new thread")
        return real(seat, listening, status)

    monkeypatch.setattr("tests.extproc.workers.supervised.program", failing)
    one.start(one.given())
    await one.until_logged("listening")
    pid = one.pids[2]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await one.until_logged("worker_started", 4)
    (refused,) = [event for event in one.events() if event["event"] == "worker_not_started"]
    assert (refused["worker"], refused["why"]) == (2, "RuntimeError")


async def test_one_that_does_not_finish_is_ended(one: Supervised) -> None:
    one.start(one.given(behaviours={"2": "deaf"}))
    await one.until_logged("listening")
    await one.end()
    killed = [event for event in one.events() if event["event"] == "worker_killed"]
    assert [(event["worker"], event["why"]) for event in killed] == [(2, "not gone after 1 s")]
    assert ends(one.events())[-1] == 0


async def test_a_log_that_nobody_can_write_does_not_leave_a_seat_empty(
    one: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, or whoever read the lines has gone."""
    one.start(one.given())
    await one.until_logged("listening")
    pid = one.pids[1]
    assert pid is not None
    with monkeypatch.context() as patch, Path("/dev/full").open("wb", buffering=0) as full:
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=full))
        os.kill(pid, signal.SIGKILL)
        assert (await one.ask("1"))[0] != pid
        async with asyncio.timeout(10):
            while one.supervisor.overview().views[0].pid in (pid, None):
                await asyncio.sleep(0.01)
    await one.end()


# Reloading


async def reload(one: Supervised, event: str) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until_logged(event)
    return next(found for found in one.events() if found["event"] == event)


async def test_a_new_configuration_for_one_after_the_other(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    before, asked = one.pids, [await one.generations() for _ in range(3)]
    assert asked == [[1, 1, 1]] * 3
    one.next = lambda: one.given(2)
    done = await reload(one, "reloaded")
    assert done["envoy_depends_on"] == []
    assert await one.generations() == [2, 2, 2]
    assert not set(before.values()) & set(one.pids.values())
    events = [event for event in one.events() if event["event"].startswith("worker_")][3:]
    steps = [(event["event"], event["worker"]) for event in events]
    assert steps == [(step, seat) for seat in (0, 2, 1) for step in ("worker_started", "worker_ended")]
    assert all(event["status"] == 0 for event in events if event["event"] == "worker_ended")
    # What the old ones had counted is still in the sum.
    await one.until(lambda: one.supervisor.overview().totals["streams"] >= 12)
    pid = one.pids[1]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await one.ask("1"))[1] == 2


async def test_what_envoy_must_be_told_anew_is_named(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    one.next = lambda: one.given(2, decision_timeout=1)
    done = await reload(one, "reloaded")
    assert done["envoy_depends_on"] == ["server"]
    # Envoy still is as it was rendered, whatever another reload changes.
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until_logged("reloaded", 2)
    assert [event["envoy_depends_on"] for event in one.events() if event["event"] == "reloaded"] == [["server"]] * 2
    one.next = one.given
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until_logged("reloaded", 3)
    assert one.events()[-1]["envoy_depends_on"] == []


def wrong() -> Given:
    raise ConfigurationError(["gateway.yaml:3: a", "gateway.yaml:4: b"])


def broken() -> Given:
    raise RuntimeError("s3cret")


@pytest.mark.parametrize(("reread", "mistakes"), [(wrong, ["gateway.yaml:3: a", "gateway.yaml:4: b"]), (broken, None)])
async def test_a_bad_configuration_changes_nothing(one: Supervised, reread: Any, mistakes: list[str] | None) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    before = one.pids
    one.next = reread
    refused = await reload(one, "reload_refused")
    assert refused["mistakes"] == (mistakes or ["it cannot be read: RuntimeError"])
    assert one.pids == before
    assert await one.generations() == [1, 1, 1]
    assert "s3cret" not in one.written
    one.next = lambda: one.given(2)
    await reload(one, "reloaded")
    assert await one.generations() == [2, 2, 2]


def leaving() -> Given:
    raise SystemExit(3)


async def test_a_policy_that_leaves_while_it_is_read_takes_nobody_with_it(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    one.next = leaving
    assert (await reload(one, "reload_refused"))["mistakes"] == ["it cannot be read: TaskExitError"]
    assert await one.generations() == [1, 1, 1]


async def test_a_fault_of_ours_in_a_reload_ends_nobody(one: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    monkeypatch.setattr("extproc.workers.supervisor.refusals", lambda *_: 1 / 0)
    assert (await reload(one, "reload_refused"))["mistakes"] == ["it failed: ZeroDivisionError"]
    monkeypatch.undo()
    one.next = lambda: one.given(2)
    await reload(one, "reloaded")
    assert await one.generations() == [2, 2, 2]


async def test_a_configuration_that_nobody_delivers_is_not_waited_for(
    one: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extproc.workers.supervisor._READ_SECONDS", 0.1)
    one.start(one.given())
    await one.until_logged("listening")
    go_on = threading.Event()

    def late() -> Given:
        go_on.wait(30)
        return one.given(3)

    one.next = late
    assert (await reload(one, "reload_refused"))["mistakes"] == ["it could not be read in 0.1 s"]
    one.next = lambda: one.given(2)
    await reload(one, "reloaded")
    go_on.set()
    assert await one.generations() == [2, 2, 2]


async def test_the_new_one_is_looked_after_while_the_old_one_takes_long_to_finish(
    one: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.extproc.workers.supervised.HURRIED", Patience(start=3.0, silence=1.0, grace=8.0))
    one.start(one.given(behaviours={"0": "deaf"}))
    await one.until_logged("listening")
    old = one.pids[0]
    assert old is not None
    one.next = lambda: one.given(2)
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until(lambda: one.pids[0] not in (old, None))
    new = one.pids[0]
    assert new is not None
    os.kill(new, signal.SIGKILL)
    async with asyncio.timeout(6):
        await one.until_logged("worker_started", 5)
    assert ends(one.events()) == [0]
    os.kill(old, signal.SIGKILL)
    await one.until_logged("reloaded")
    assert await one.generations() == [2, 2, 2]


async def test_what_is_bound_stays_bound(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    before = one.pids
    one.next = lambda: one.given(2, workers=3)
    refused = await reload(one, "reload_refused")
    assert [line.partition(":")[0] for line in refused["mistakes"]] == ["server.workers"]
    assert one.pids == before


@pytest.mark.parametrize(
    ("behaviours", "reason"),
    [
        ({"0": "fail"}, "seat 0 cannot"),
        ({"2": "die"}, "ended with status 3"),
        ({"1": "fail"}, "seat 1 cannot"),
        ({"1": "lack"}, "not ready: keys"),
    ],
)
async def test_where_one_worker_cannot_start_all_keep_the_old(
    one: Supervised, behaviours: dict[str, str], reason: str
) -> None:
    one.start(one.given())
    await one.until(lambda: all(view.ready for view in one.views.values()))
    one.next = lambda: one.given(2, behaviours)
    refused = await reload(one, "reload_refused")
    assert reason in refused["mistakes"][0]
    for name in ("1", "2", "settle"):
        async with asyncio.timeout(10):
            while (await one.ask(name))[1] != 1:
                await asyncio.sleep(0.01)
    await one.until(lambda: all(view.ready for view in one.views.values()))
    one.next = lambda: one.given(3)
    await reload(one, "reloaded")
    assert await one.generations() == [3, 3, 3]


async def test_what_the_old_one_lacks_the_new_one_may_lack(one: Supervised) -> None:
    """The identity provider is down since before: to wait for it would be to keep a wrong configuration."""
    one.start(one.given(behaviours={"all": "lack"}))
    await one.until_logged("listening")
    one.next = lambda: one.given(2, {"all": "lack"})
    await reload(one, "reloaded")
    assert await one.generations() == [2, 2, 2]


async def test_one_that_died_is_replaced_with_whatever_comes(one: Supervised) -> None:
    one.start(one.given(behaviours={"1": "die"}))
    await one.until_logged("worker_ended", 2)
    one.next = lambda: one.given(2)
    await reload(one, "reloaded")
    assert await one.generations() == [2, 2, 2]


async def test_it_can_be_ended_while_it_reloads(one: Supervised) -> None:
    one.start(one.given())
    await one.until_logged("listening")
    one.next = lambda: one.given(2, {"all": "mute"})
    os.kill(os.getpid(), signal.SIGHUP)
    await one.until_logged("worker_started", 4)
    await one.end()
    assert sorted(ends(one.events())) == [0, 0, 1, 2]
    assert one.names()[-1] == "stopped"


def test_a_real_worker_is_told_its_socket_its_pipe_and_its_role() -> None:
    from extproc.placement import Role, Seat

    command = worker_program(Seat(3, Role.DECIDE, "unix:/x"), 7, 8)
    assert command[1:] == ("-P", "-m", "extproc.workers.worker", "--fd", "7", "--status-fd", "8", "--role", "decide")
