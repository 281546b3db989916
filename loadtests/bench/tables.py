"""A report as Markdown: aims and ratios first, then what they are made of, then the circumstances. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from loadtests.bench.goals import Goal
from loadtests.bench.load import Spread
from loadtests.bench.processes import THREADS
from loadtests.bench.report import Circumstances, Report
from loadtests.bench.results import Row
from loadtests.bench.scenarios import SCENARIOS

_STREAMS: Final = frozenset(scenario.name for scenario in SCENARIOS if scenario.chunks)
_ANSWERS: Final[Mapping[bool | None, str]] = {True: "yes", False: "**no**", None: "-"}


_PROCESSES: Final = ("policy", "envoy", "ai_gateway", "follower", "upstream", "generator")


def as_markdown(told: Report) -> str:
    """The whole report."""
    measured = told.rows
    plain = [row for row in measured if row.scenario not in _STREAMS]
    streams = [row for row in measured if row.scenario in _STREAMS]
    parts = [
        ("What we want, and what was found", goals_table(told.goals)),
        (
            "Ratios to plain Envoy",
            table(
                ("Scenario", "Target", "p50", "p95", "p99", "req/s", "policy CPU", "Envoy CPU", "both"),
                _each(_ratios, measured),
            ),
        ),
        (
            "Rates and latencies",
            table(
                ("Scenario", "Target", "req/s", "p50 ms", "p95 ms", "p99 ms", "sent late p99 ms", "generator cores"),
                _each(_latencies, plain),
            ),
        ),
        (
            "Streams",
            table(
                ("Scenario", "Target", "first chunk p50 ms", "p99", "gap p50 ms", "p99", "policy CPU us", "Envoy CPU us"),
                _each(_stream, streams),
            ),
        ),
        (
            "CPU in us per request",
            table(
                ("Scenario", "Target", "policy", "Envoy", "AI Gateway", "follower", "upstream", "generator"),
                _each(_cpu, measured),
            ),
        ),
        (
            "Counts and memory",
            table(
                ("Scenario", "Target", "requests", "completions", "failed", "policy peak MiB", "Envoy peak MiB"),
                _each(_counts, measured),
            ),
        ),
        (
            "What the generators reach where nothing is in their way (unary, 32 connections)",
            table(
                ("Answered by", "Generator", "req/s", "generator CPU us", "generator cores"),
                (
                    [*name.rsplit(", ", 1), f"{c['rate']:,.0f}", _us(c["generator_cpu"]), f"{c['generator_cores']:.2f}"]
                    for name, c in told.ceilings.items()
                ),
            ),
        ),
    ]
    return "\n\n".join([_head(told), *(f"### {title}\n\n{body}" for title, body in parts)]) + "\n"


def goals_table(goals: Sequence[Goal]) -> str:
    """Aims, and whether they are met."""
    body = ([goal.aim, goal.bound, goal.found, _ANSWERS[goal.holds]] for goal in goals)
    return table(("Aim", "Bound", "Found", "Holds"), body)


def circumstances_lines(told: Circumstances) -> list[str]:
    """When and where, as items of a list."""
    before, after = told.before.yardstick * 1000, told.after.yardstick * 1000
    return [
        f"- {told.date}; load average {told.before.load:.2f} before, {told.after.load:.2f} after",
        f"- a fixed piece of Python took {before:.2f} ms before, {after:.2f} ms after",
        f"- {', '.join(f'{name} {value}' for name, value in told.machine.items())}",
        f"- {', '.join(f'{name} {value}' for name, value in told.versions.items())}",
    ]


def _head(told: Report) -> str:
    extent = told.extent
    generator = "wrk" if extent.generator == "wrk" else "our own generator"
    lines = circumstances_lines(told.circumstances)
    paces = [pace * 1000 for pace in told.paces]
    lines.append(
        f"- before a round it took {min(paces):.2f} to {max(paces):.2f} ms, {median(paces):.2f} or less in half of them"
    )
    lines.append(
        f"- starts: {extent.starts}; in each, rounds of about {extent.seconds:g} s per scenario and target:"
        f" {extent.rounds}; the best of all counts;"
        f" {generator} for closed loops of plain answers, our own generator for open loops and streams;"
        f" {THREADS} Envoy worker thread each"
    )
    return "\n".join([*lines, *(f"- {note}" for note in told.notes)])


def _each(cells: Callable[[Row], list[str]], rows: Sequence[Row]) -> Iterable[list[str]]:
    return ([row.scenario, row.target, *cells(row)] for row in rows)


def _ratios(row: Row) -> list[str]:
    names = ("p50", "p95", "p99", "rate", "policy_cpu", "envoy_cpu", "gateway_cpu")
    # A ratio of nothing is that of a process that is not there.
    return [f"{row.ratios[name]:.2f}" if row.ratios.get(name) else "-" for name in names]


def _latencies(row: Row) -> list[str]:
    return [
        f"{row.rate:,.0f}",
        *(_ms(value) for value in (row.p50, row.p95, row.p99)),
        "-" if row.lag is None else _ms(row.lag),
        f"{row.generator_cores:.2f}",
    ]


def _stream(row: Row) -> list[str]:
    def pair(spread: Spread | None) -> list[str]:
        return ["-", "-"] if spread is None else [_ms(spread.p50), _ms(spread.p99)]

    return [
        *pair(row.first),
        *pair(row.gap),
        *(_us(row.cpu[name]) if name in row.cpu else "-" for name in ("policy", "envoy")),
    ]


def _cpu(row: Row) -> list[str]:
    return [_us(row.cpu[name]) if name in row.cpu else "-" for name in _PROCESSES]


def _counts(row: Row) -> list[str]:
    settled = "-" if row.settled is None else f"{row.settled:,}"
    peaks = [f"{row.peaks[name] / 2**20:.0f}" if name in row.peaks else "-" for name in ("policy", "envoy")]
    # A run with a failed request ends without a report.
    return [f"{row.requests:,}", settled, "0", *peaks]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first two is flush right."""
    lines = [head, ["---" if column < 2 else "---:" for column in range(len(head))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
