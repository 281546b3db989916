"""One measurement: let the generator run against one target, and read what everybody used meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.embedded.waiting import until
from loadtests.bench.load import Load, parse
from loadtests.bench.proc import cpu_of, peak_of
from loadtests.bench.processes import Completions, python, requests_arrived
from loadtests.bench.results import Cell, faults
from loadtests.bench.scenarios import SCENARIOS, Extent, Scenario

_PATIENCE: Final = 20.0
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


class BenchError(Exception):
    """The run does not count. For people."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running target. `completions` is None where there is no policy server."""

    name: str
    port: int
    admin: Path
    prefix: str
    pids: Mapping[str, int]
    completions: Completions | None


def find_generator(wish: str = "auto") -> str:
    """`wrk` where it is installed, else our own."""
    return wish if wish != "auto" else "wrk" if shutil.which("wrk") else "own"


async def measure(target: Target, scenario: Scenario, request: Path, extent: Extent, seconds: float) -> Cell:
    """One cell.

    Raises:
        BenchError: it does not count.
    """
    counts = target.completions
    settled, unmetered = (counts.read(), counts.unmetered) if counts else (0, 0)
    arrived = await requests_arrived(target.admin, target.prefix)
    before = _cpu(target)
    load = await _generate(target.port, scenario, request, extent, seconds)
    # Settlement belongs to the cost, and comes a little later.
    await _until_settled(counts, settled + load.requests)
    used = {name: after - before[name] for name, after in _cpu(target).items()}
    arrived = await requests_arrived(target.admin, target.prefix) - arrived
    await _until_settled(counts, settled + arrived)
    cell = Cell(
        load=load,
        cpu=used,
        arrived=arrived,
        settled=counts.settled - settled if counts else None,
        unmetered=counts.unmetered - unmetered if counts else 0,
        peak=peak_of(target.pids["policy"]) if counts else None,
    )
    if found := faults(cell, scenario.connections):
        raise BenchError(f"{target.name}, {scenario.name}: {'; '.join(found)}")
    return cell


async def ceiling(target: Target, request: Path, extent: Extent) -> Cell:
    """What the generator reaches there.

    Raises:
        BenchError: a request failed.
    """
    before = _cpu(target)
    load = await _generate(target.port, SCENARIOS[1], request, extent, extent.seconds)
    used = {name: after - before[name] for name, after in _cpu(target).items()}
    cell = Cell(load, used, load.requests)
    if found := faults(cell, 0):
        raise BenchError(f"{target.name}: {'; '.join(found)}")
    return cell


def _cpu(target: Target) -> dict[str, float]:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Servers end when all is over: of our children only generators have ended before.
    return {name: cpu_of(pid) for name, pid in target.pids.items()} | {"generator": ended.ru_utime + ended.ru_stime}


async def _until_settled(counts: Completions | None, number: int) -> None:
    """Wait for so many completions; `faults` says it if they do not come."""
    if counts is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await until(lambda: _have_settled(counts, number))


async def _have_settled(counts: Completions, number: int) -> bool:
    return counts.read() >= number


async def _generate(port: int, scenario: Scenario, request: Path, extent: Extent, seconds: float) -> Load:
    """Run the generator as a process of its own.

    Raises:
        BenchError: it failed.
    """
    count = str(scenario.connections)
    if extent.generator == "wrk":
        url, whole = f"http://127.0.0.1:{port}/", f"{max(1, round(seconds))}s"
        options = ("-t1", f"-c{count}", f"-d{whole}", "--timeout", "10s", "-s", str(_SCRIPT))
        command: tuple[str, ...] = ("wrk", *options, url, "--", str(request))
    else:
        arguments = ("--port", str(port), "--request", str(request), "--connections", count, "--seconds", str(seconds))
        command = python("loadtests.bench.generator", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
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
