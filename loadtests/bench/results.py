"""From what was read to what is reported. Pure.

A *cell* is one target under one scenario in one round. Each figure is that of the round in which it was best: the least
latency and CPU, the highest rate. What others take of a shared core and of its caches is added to a measurement, never
taken from it (so `timeit` reports the least, too: https://docs.python.org/3/library/timeit.html#timeit.Timer.repeat).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from loadtests.bench.load import Load, Spread

BASE: Final = "plain"
"""The target that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement.

    Attributes:
        cpu: seconds of CPU by process (`envoy`, `policy`, `follower`, `upstream`, `generator`), of those that there are.
        arrived: requests that Envoy counted; without Envoy, those that were answered. wrk hangs up at the end, so up to
            `connections` more than were answered.
        settled: completions of the policy server; None where there is none of ours.
        unmetered: answered completions without usage.
        peaks: bytes of the largest resident size up to then, by process.
    """

    load: Load
    cpu: Mapping[str, float]
    arrived: int
    settled: int | None = None
    unmetered: int = 0
    peaks: Mapping[str, int] = field(default_factory=dict)


def faults(cell: Cell, connections: int, chunks: int) -> list[str]:
    """Why this measurement does not count; empty if it does. `chunks`: that each answer must at least have."""
    found = []
    if cell.load.requests == 0:
        found.append("no request was answered")
    if cell.load.errors:
        found.append(f"{cell.load.errors} requests failed")
    if cell.load.chunks < chunks * cell.load.requests:
        found.append(f"{cell.load.chunks} chunks came in {cell.load.requests} streams")
    if not 0 <= cell.arrived - cell.load.requests <= connections:
        found.append(f"{cell.arrived} requests arrived, {cell.load.requests} were answered")
    if cell.settled is not None and cell.settled != cell.arrived:
        found.append(f"{cell.arrived} requests arrived, {cell.settled} were settled")
    if cell.unmetered:
        found.append(f"{cell.unmetered} answers were not metered")
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """One target under one scenario, over all rounds. Times in seconds; `ratios` to plain Envoy by name.

    Attributes:
        cpu: seconds of CPU per request, by process.
        generator_cores: cores that the generator kept busy.
        lag: of an open loop: p99 of how late requests were sent.
    """

    scenario: str
    target: str
    requests: int
    rate: float
    p50: float
    p95: float
    p99: float
    first: Spread | None
    gap: Spread | None
    lag: float | None
    cpu: Mapping[str, float]
    generator_cores: float
    ratios: Mapping[str, float]
    settled: int | None
    peaks: Mapping[str, int]


_BEST: Final[Mapping[str, Callable[[Sequence[Cell]], float]]] = {
    "rate": lambda cells: max(cell.load.rate for cell in cells),
    "p50": lambda cells: min(cell.load.p50 for cell in cells),
    "p95": lambda cells: min(cell.load.p95 for cell in cells),
    "p99": lambda cells: min(cell.load.p99 for cell in cells),
}


def row(scenario: str, target: str, cells: Sequence[Cell], base: Sequence[Cell]) -> Row:
    """The rounds of one target under one scenario; `base`: those of plain Envoy, or none."""
    cpu = cpu_per_request(cells)
    best = {name: of(cells) for name, of in _BEST.items()}
    lags = [cell.load.lag.p99 for cell in cells if cell.load.lag]
    return Row(
        scenario=scenario,
        target=target,
        requests=sum(cell.arrived for cell in cells),
        **best,
        first=_best_spread(cell.load.first for cell in cells),
        gap=_best_spread(cell.load.gap for cell in cells),
        lag=min(lags) if lags else None,
        cpu=cpu,
        generator_cores=_over(
            sum(cell.cpu.get("generator", 0.0) for cell in cells), sum(cell.load.seconds for cell in cells)
        ),
        ratios=_ratios(best, cpu, base) if base else {},
        settled=_total(cell.settled for cell in cells),
        peaks={
            name: max(cell.peaks.get(name, 0) for cell in cells)
            for name in dict.fromkeys(name for cell in cells for name in cell.peaks)
        },
    )


def _ratios(best: Mapping[str, float], cpu: Mapping[str, float], base: Sequence[Cell]) -> dict[str, float]:
    plain = cpu_per_request(base)["envoy"]
    ratios = {name: _over(best[name], of(base)) for name, of in _BEST.items()}
    ratios["policy_cpu"] = _over(cpu.get("policy", 0.0), plain)
    ratios["envoy_cpu"] = _over(cpu.get("envoy", 0.0), plain)
    ratios["gateway_cpu"] = ratios["policy_cpu"] + ratios["envoy_cpu"]
    return ratios


def rows(cells: Mapping[tuple[str, str], Sequence[Cell]]) -> list[Row]:
    """A row for each scenario and target, in the order in which they were measured."""
    return [row(scenario, target, own, cells.get((scenario, BASE), ())) for (scenario, target), own in cells.items()]


def cpu_per_request(cells: Sequence[Cell]) -> dict[str, float]:
    """Seconds of CPU per request by process, each in the round in which it was least."""
    names = dict.fromkeys(name for cell in cells for name in cell.cpu)
    return {name: min(_over(cell.cpu[name], cell.arrived) for cell in cells if name in cell.cpu) for name in names}


def _best_spread(spreads: Iterable[Spread | None]) -> Spread | None:
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return None
    return Spread(
        min(spread.p50 for spread in known),
        min(spread.p95 for spread in known),
        min(spread.p99 for spread in known),
    )


def _over(value: float, by: float) -> float:
    return value / by if by else 0.0


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
