"""Measurements that nobody made."""

from __future__ import annotations

from typing import Any

from loadtests.bench.load import Load, Spread
from loadtests.bench.report import Circumstances, Condition, Report
from loadtests.bench.results import Cell, Row, rows
from loadtests.bench.scenarios import Extent

LOAD = Load(requests=100, errors=0, seconds=2.0, p50=0.001, p95=0.002, p99=0.004)
SPREAD = Spread(0.002, 0.003, 0.005)
WHERE = Circumstances(
    "2026-01-01T00:00:00+00:00", {"cpu": "C", "cores": "2"}, {"python": "3"}, Condition(0.1, 0.004), Condition(0.2, 0.005)
)


def cell(**changes: Any) -> Cell:
    whole: dict[str, Any] = {"load": LOAD, "cpu": {"envoy": 0.01, "generator": 0.001}, "arrived": 100}
    return Cell(**{**whole, **changes})


def a_row(scenario: str, target: str, **changes: Any) -> Row:
    whole: dict[str, Any] = {
        "requests": 100,
        "rate": 50.0,
        "p50": 0.001,
        "p95": 0.002,
        "p99": 0.004,
        "first": None,
        "gap": None,
        "lag": None,
        "cpu": {"envoy": 0.0002, "policy": 0.0001},
        "generator_cores": 0.1,
        "ratios": {},
        "settled": None,
        "peaks": {},
    }
    return Row(scenario, target, **{**whole, **changes})


def a_report(cells: dict[tuple[str, str], list[Cell]] | None = None) -> Report:
    cpu = {"envoy": 0.02, "policy": 0.03, "upstream": 0.001, "generator": 0.001}
    own = [cell(cpu=cpu, settled=100, peaks={"policy": 2**20})]
    found = rows(cells or {("s", "plain"): [cell()], ("s", "default"): own})
    ceilings = {"bare, wrk": {"rate": 1234.0, "generator_cpu": 5e-6, "generator_cores": 0.5}}
    return Report(
        WHERE, Extent(1, 2.0, "own"), [0.005, 0.004, 0.009], [], found, ceilings, ["portkey was not measured: no npm"]
    )
