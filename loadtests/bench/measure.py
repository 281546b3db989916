"""One measurement: let the generator run against one target, and read what everybody used meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from extproc.embedded.waiting import until
from loadtests.bench.following import FOLLOWER, RECEIVERS, BehindError, until_brought
from loadtests.bench.load import Load, parse
from loadtests.bench.proc import cpu_of, peak_of
from loadtests.bench.processes import Completions, python, requests_arrived
from loadtests.bench.results import Cell, faults
from loadtests.bench.scenarios import BUSY, Extent, Scenario

N = TypeVar("N", int, float)

PARENT: Final = "ai_gateway"
CHILD: Final = "envoy"
"""AI Gateway starts Envoy by itself."""
_PATIENCE: Final = 20.0
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


class BenchError(Exception):
    """The run does not count. For people."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Where an Envoy counts the requests of a listener: its admin socket or URL, and the listener's stat prefix."""

    admin: Path | str
    prefix: str


@dataclass(frozen=True, slots=True)
class Target:
    """A running target.

    Attributes:
        pids: by process: `envoy`, `policy` (what decides: also LiteLLM and Portkey, which proxy in the same process),
            `upstream`; `follower` and `receivers` of what is brought from the journal; `ai_gateway`, which is the parent
            of its Envoy.
        counted: None where there is no Envoy.
        completions: None where there is no policy server of ours.
        fields: headers that its requests need.
        followed: the folder of its journal, where that is followed: what is on record is brought to others later.
    """

    name: str
    port: int
    pids: Mapping[str, int]
    counted: Counted | None = None
    completions: Completions | None = None
    fields: tuple[tuple[str, str], ...] = ()
    followed: Path | None = None


@dataclass(frozen=True, slots=True)
class Burst:
    """What one generator is to send. `rate`: per second; None: a closed loop."""

    tool: str
    request: Path
    connections: int
    seconds: float
    rate: float | None = None


def find_generator(wish: str = "auto") -> str:
    """`wrk` where it is installed, else our own."""
    return wish if wish != "auto" else "wrk" if shutil.which("wrk") else "own"


async def measure(target: Target, scenario: Scenario, burst: Burst) -> Cell:
    """One cell.

    Raises:
        BenchError: it does not count.
    """
    counts = target.completions
    settled, unmetered = (counts.read(), counts.unmetered) if counts else (0, 0)
    arrived = await _arrived(target)
    before = cpu(target)
    load = await generate(target.port, burst)
    # Settlement belongs to the cost, and comes a little later.
    await until_settled(counts, settled + load.requests)
    used = {name: after - before[name] for name, after in cpu(target).items()}
    now = await _arrived(target)
    arrived = load.requests if now is None or arrived is None else now - arrived
    await until_settled(counts, settled + arrived)
    used |= await _brought(target, before)
    cell = Cell(
        load=load,
        cpu=used,
        arrived=arrived,
        settled=counts.settled - settled if counts else None,
        unmetered=counts.unmetered - unmetered if counts else 0,
        peaks=own({name: peak_of(pid) for name, pid in target.pids.items() if name != "upstream"}),
    )
    if found := faults(cell, burst.connections, scenario.chunks):
        raise BenchError(f"{target.name}, {scenario.name}: {'; '.join(found)}")
    return cell


async def _brought(target: Target, before: Mapping[str, float]) -> dict[str, float]:
    """Wait until what is on record was brought to whom it is for: the next target shall not pay for it.

    Returns the CPU seconds that this took since `before`, by process.

    Raises:
        BenchError: not everything was brought.
    """
    if target.followed is None:
        return {}
    try:
        await until_brought(target.followed)
    except BehindError as error:
        raise BenchError(f"{target.name}: {error}") from None
    now = cpu(target)
    return {name: now[name] - before[name] for name in (FOLLOWER, RECEIVERS)}


async def ceiling(target: Target, burst: Burst) -> Cell:
    """What the generator reaches there.

    Raises:
        BenchError: a request failed.
    """
    before = cpu(target)
    load = await generate(target.port, burst)
    cell = Cell(load, {name: after - before[name] for name, after in cpu(target).items()}, load.requests)
    if found := faults(cell, 0, 0):
        raise BenchError(f"{target.name}, {BUSY.name}: {'; '.join(found)}")
    return cell


def burst(scenario: Scenario, extent: Extent, request: Path, rate: float | None) -> Burst:
    """One round of a scenario."""
    return Burst(extent.tool(scenario), request, scenario.connections, extent.seconds_of(scenario), rate)


async def _arrived(target: Target) -> int | None:
    counted = target.counted
    return await requests_arrived(counted.admin, counted.prefix) if counted else None


def cpu(target: Target) -> dict[str, float]:
    """CPU seconds so far, by process."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Servers end when all is over: of our children only generators have ended before.
    found = own({name: cpu_of(pid) for name, pid in target.pids.items()})
    return found | {"generator": ended.ru_utime + ended.ru_stime}


def own(sums: dict[str, N]) -> dict[str, N]:
    """What is each process's own, of what it and its children have."""
    if PARENT in sums and CHILD in sums:
        return sums | {PARENT: sums[PARENT] - sums[CHILD]}
    return sums


async def until_settled(counts: Completions | None, number: int) -> None:
    """Wait for so many completions; `faults` says it if they do not come."""
    if counts is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await until(lambda: _have_settled(counts, number))


async def _have_settled(counts: Completions, number: int) -> bool:
    return counts.read() >= number


def _command(port: int, burst: Burst) -> tuple[str, ...]:
    count = str(burst.connections)
    if burst.tool == "wrk":
        url, whole = f"http://127.0.0.1:{port}/", f"{max(1, round(burst.seconds))}s"
        options = ("-t1", f"-c{count}", f"-d{whole}", "--timeout", "10s", "-s", str(_SCRIPT))
        return ("wrk", *options, url, "--", str(burst.request))
    arguments = ["--port", str(port), "--request", str(burst.request), "--connections", count]
    arguments += ["--seconds", str(burst.seconds)]
    if burst.rate is not None:
        arguments += ["--rate", str(burst.rate)]
    return python("loadtests.bench.generator", *arguments)


async def generate(port: int, burst: Burst) -> Load:
    """Run the generator as a process of its own.

    Raises:
        BenchError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *_command(port, burst), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchError(f"the generator ended with status {process.returncode}: {complaint.decode()[-500:]}")
    try:
        return parse(output.decode())
    except ValueError as error:
        raise BenchError(f"the generator: {error}") from error
