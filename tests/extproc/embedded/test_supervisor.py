from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from extproc.embedded.child import Child, Plan
from extproc.embedded.faults import StackError
from extproc.embedded.supervisor import Supervisor
from tests.extproc.embedded.standins import (
    DIES,
    NEVER_READY,
    SERVES,
    SERVES_THEN_DIES,
    SLOW,
    STUBBORN,
    WITH_A_CHILD,
    is_ready,
    lives,
    pids_with,
    plan,
)


class Story:
    """What a supervisor tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, what: str) -> None:
        self.lines.append(f"{name} {what}")

    def of(self, what: str) -> list[str]:
        return [line.split()[0] for line in self.lines if line.endswith(f" {what}")]


def supervised(logs: Path, *stages: Sequence[Plan]) -> tuple[Supervisor, Story]:
    story = Story()
    return Supervisor(stages, logs=logs, report=story), story


def leftovers(logs: Path) -> set[int]:
    return {pid for log in logs.glob("*.log") for pid in _told(log) if lives(pid)}


def _told(log: Path) -> list[int]:
    return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith(("pid ", "child "))]


def telling(code: str) -> str:
    return f"import os; print('pid', os.getpid(), flush=True); {code}"


async def forever() -> None:
    await asyncio.Event().wait()


async def test_stages_start_in_order_and_end_the_other_way_round(tmp_path: Path) -> None:
    first, second = (plan("store", telling(SLOW)), plan("keys", telling(SERVES))), (plan("server", telling(SERVES)),)
    supervisor, story = supervised(tmp_path, first, second)

    async def work() -> str:
        assert sorted(story.of("ready")) == ["keys", "server", "store"]
        return "done"

    assert await supervisor.run(work) == "done"
    assert story.of("starting") == ["store", "keys", "server"]
    assert story.lines.index("server starting") > story.lines.index("store ready")
    assert story.of("stopping") == ["server", "keys", "store"]
    assert story.of("stopped") == ["server", "keys", "store"]
    assert not leftovers(tmp_path)


async def test_a_child_that_dies_while_starting_ends_all_with_its_last_lines(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("store", telling(SERVES)),), (plan("server", telling(DIES)),))
    with pytest.raises(
        StackError, match=r"^server ended with status 3; its last lines stand above, all of them in .*server\.log$"
    ) as e:
        await supervisor.run(forever)
    assert e.value.lines[-2:] == ("one", "two")
    assert not leftovers(tmp_path)


async def test_a_child_that_dies_later_ends_all(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("store", telling(SERVES)), plan("server", telling(SERVES_THEN_DIES))))
    with pytest.raises(StackError, match=r"^server ended with status 4") as caught:
        await supervisor.run(forever)
    assert caught.value.lines[-1] == "that was it"
    assert not leftovers(tmp_path)


async def test_a_child_that_is_killed_is_said_to_have_been(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("server", telling(SERVES)),))

    async def work() -> None:
        os.kill(_told(tmp_path / "server.log")[0], signal.SIGKILL)
        await forever()

    with pytest.raises(StackError, match=r"^server was ended by SIGKILL"):
        await supervisor.run(work)


async def test_a_child_that_is_never_ready_is_not_waited_for(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("server", telling(NEVER_READY), patience=0.5),))
    with pytest.raises(StackError, match=r"^server was not ready within 0.5 s") as caught:
        await supervisor.run(forever)
    assert caught.value.lines[-1] == "still thinking"
    assert not leftovers(tmp_path)


async def test_a_program_that_there_is_not(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (Plan("envoy", ("/nowhere/envoy", "-c", "x"), is_ready),))
    with pytest.raises(StackError, match=r"^envoy ended with status 1") as caught:
        await supervisor.run(forever)
    assert caught.value.lines == ("/nowhere/envoy: No such file or directory",)


async def test_a_stubborn_child_is_killed_when_its_grace_is_over(tmp_path: Path) -> None:
    supervisor, story = supervised(tmp_path, (plan("server", telling(STUBBORN), grace=0.3),))

    async def work() -> None:
        return None

    await supervisor.run(work)
    assert story.of("stopped") == ["server"]
    assert not leftovers(tmp_path)


async def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("server", WITH_A_CHILD),))

    async def work() -> int:
        return _told(tmp_path / "server.log")[0]

    grandchild = await supervisor.run(work)
    deadline = time.monotonic() + 5
    while lives(grandchild) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not lives(grandchild)


async def test_work_that_fails_ends_all_and_its_error_is_told(tmp_path: Path) -> None:
    supervisor, _ = supervised(tmp_path, (plan("server", telling(SERVES)),))

    async def work() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await supervisor.run(work)
    assert not leftovers(tmp_path)


async def test_retiring_comes_before_the_end_and_only_when_all_is_well(tmp_path: Path) -> None:
    retired: list[str] = []

    async def retire() -> None:
        retired.append("asked")
        assert leftovers(tmp_path)

    async def work() -> None:
        return None

    await supervised(tmp_path, (plan("server", telling(SERVES), retire=retire),))[0].run(work)
    assert retired == ["asked"]
    with pytest.raises(StackError):
        await supervised(tmp_path, (plan("server", telling(SERVES), retire=retire), plan("other", SERVES_THEN_DIES)))[
            0
        ].run(forever)
    assert retired == ["asked"]


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0])
async def test_cancelled_at_any_moment_nothing_is_left(tmp_path: Path, delay: float) -> None:
    word = f"cancelled-after-{delay}-in-{tmp_path}"
    stages = [(plan("a", f"'{word}'; {SLOW}"), plan("b", f"'{word}'; {SERVES}")), (plan("c", f"'{word}'; {SERVES}"),)]
    supervisor, _ = supervised(tmp_path, *stages)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.run(forever), delay)
    assert not pids_with(word)


async def test_cancelled_again_it_does_not_wait_for_the_stubborn(tmp_path: Path) -> None:
    supervisor, story = supervised(tmp_path, (plan("server", telling(STUBBORN), grace=600),))
    ready = asyncio.Event()

    async def work() -> None:
        ready.set()
        await forever()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run(work))
        await ready.wait()
        task.cancel()
        while not story.of("stopping"):
            await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
    assert story.of("stopped") == ["server"]
    assert not leftovers(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux only")
def test_children_die_with_a_parent_that_is_killed_outright(tmp_path: Path) -> None:
    parent = (
        "import sys; from pathlib import Path; from extproc.embedded.child import Child; "
        "from tests.extproc.embedded.standins import plan, STUBBORN; "
        "c = Child(plan('server', STUBBORN), Path(sys.argv[1])); "
        "print(c.pid, flush=True); import time; time.sleep(600)"
    )
    with subprocess.Popen((sys.executable, "-c", parent, str(tmp_path)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        deadline = time.monotonic() + 20
        while "ready" not in (tmp_path / "server.log").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lives(child)
        process.kill()
        process.wait()
    while lives(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives(child)


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("yesterday")
    child = Child(plan("server", SERVES), tmp_path)
    child.kill()
    assert (tmp_path / "server.previous.log").read_text() == "yesterday"
    assert "yesterday" not in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        (b"", ()),
        (b"\n\n  \n", ()),
        (b"one\ntwo", ("one", "two")),
        (b"bad \xff byte\n", ("bad � byte",)),
        (b"x" * 100_000 + b"\nlast\n", ("x" * (16_384 - 6), "last")),
    ],
)
def test_last_lines(tmp_path: Path, log: bytes, lines: tuple[str, ...]) -> None:
    child = Child(plan("server", SERVES), tmp_path)
    child.kill()
    child.log.write_bytes(log)
    assert child.last_lines() == lines


async def test_one_that_is_to_be_started_again_ends_nothing(tmp_path: Path) -> None:
    companion = replace(plan("companion", SERVES_THEN_DIES), again=True)
    supervisor, story = supervised(tmp_path, [plan("server", SERVES)], [companion])

    async def until_it_has_died_twice() -> str:
        async with asyncio.timeout(20):
            while story.of("starting").count("companion") < 3:
                await asyncio.sleep(0.02)
        return "done"

    assert await supervisor.run(until_it_has_died_twice) == "done"
    assert story.of("starting").count("server") == 1
    assert leftovers(tmp_path) == set()


async def test_one_that_dies_before_all_serve_ends_all(tmp_path: Path) -> None:
    companion = replace(plan("companion", DIES), again=True)
    supervisor, _ = supervised(tmp_path, [companion], [plan("server", SLOW)])
    with pytest.raises(StackError, match="companion"):
        await supervisor.run(lambda: asyncio.sleep(0))
