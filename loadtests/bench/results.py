"""From what was read to what is reported. Pure.

A *cell* is one target under one scenario in one round. Latencies, rates and ratios are medians over rounds. CPU is the
sum over rounds, divided by all their requests: the kernel tells it in steps of 10 ms, too coarse for one round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from loadtests.bench.load import Load

BASE: Final = "plain"
"""The target that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement.

    Attributes:
        cpu: seconds of CPU by process (`envoy`, `policy`, `upstream`, `generator`); no `policy` where there is none.
        arrived: requests that Envoy counted. wrk hangs up at the end, so up to `connections` more than were answered.
        settled: completions of the policy server; None where there is none.
        unmetered: answered completions without usage.
        peak: bytes of the policy process's largest resident size up to then; None where there is none.
    """

    load: Load
    cpu: Mapping[str, float]
    arrived: int
    settled: int | None = None
    unmetered: int = 0
    peak: int | None = None


def faults(cell: Cell, connections: int) -> list[str]:
    """Why this measurement does not count; empty if it does."""
    found = []
    if cell.load.requests == 0:
        found.append("no request was answered")
    if cell.load.errors:
        found.append(f"{cell.load.errors} requests failed")
    if not 0 <= cell.arrived - cell.load.requests <= connections:
        found.append(f"{cell.arrived} requests arrived, {cell.load.requests} were answered")
    if cell.settled is not None and cell.settled != cell.arrived:
        found.append(f"{cell.arrived} requests arrived, {cell.settled} were settled")
    if cell.unmetered:
        found.append(f"{cell.unmetered} answers were not metered")
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """One target under one scenario, over all rounds. Times in seconds; `ratios` to plain Envoy by name."""

    scenario: str
    target: str
    requests: int
    rate: float
    p50: float
    p95: float
    p99: float
    cpu: Mapping[str, float]
    """Seconds of CPU per request, by process."""
    ratios: Mapping[str, float]
    settled: int | None
    peak: int | None


_RATIOS: Final[Mapping[str, Callable[[Cell], float]]] = {
    "rate": lambda cell: cell.load.rate,
    "p50": lambda cell: cell.load.p50,
    "p95": lambda cell: cell.load.p95,
    "p99": lambda cell: cell.load.p99,
}


def row(scenario: str, target: str, cells: Sequence[Cell], base: Sequence[Cell]) -> Row:
    """The rounds of one target under one scenario; `base`: those of plain Envoy, in the same order."""
    cpu, plain = cpu_per_request(cells), cpu_per_request(base)
    ratios = {
        name: median(_over(read(cell), read(other)) for cell, other in zip(cells, base, strict=True))
        for name, read in _RATIOS.items()
    }
    ratios["policy_cpu"] = _over(cpu.get("policy", 0.0), plain["envoy"])
    ratios["envoy_cpu"] = _over(cpu["envoy"], plain["envoy"])
    ratios["gateway_cpu"] = ratios["policy_cpu"] + ratios["envoy_cpu"]
    return Row(
        scenario=scenario,
        target=target,
        requests=sum(cell.arrived for cell in cells),
        rate=median(cell.load.rate for cell in cells),
        p50=median(cell.load.p50 for cell in cells),
        p95=median(cell.load.p95 for cell in cells),
        p99=median(cell.load.p99 for cell in cells),
        cpu=cpu,
        ratios=ratios,
        settled=_total(cell.settled for cell in cells),
        peak=max((cell.peak for cell in cells if cell.peak is not None), default=None),
    )


def rows(cells: Mapping[tuple[str, str], Sequence[Cell]]) -> list[Row]:
    """A row for each scenario and target, in the order in which they were measured."""
    return [row(scenario, target, own, cells[scenario, BASE]) for (scenario, target), own in cells.items()]


def cpu_per_request(cells: Sequence[Cell]) -> dict[str, float]:
    """Seconds of CPU per request by process, over all rounds."""
    requests = sum(cell.arrived for cell in cells)
    names = dict.fromkeys(name for cell in cells for name in cell.cpu)
    return {name: _over(sum(cell.cpu.get(name, 0.0) for cell in cells), requests) for name in names}


def _over(value: float, by: float) -> float:
    return value / by if by else 0.0


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
