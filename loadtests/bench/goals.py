"""What we want of the figures, and whether they show it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.bench.results import BASE, Row
from loadtests.bench.scenarios import ALONE, BUSY, LONG, SELDOM


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim. `holds` is None if it was not measured."""

    aim: str
    bound: str
    found: str
    holds: bool | None


class _MissingError(Exception):
    """A row is not there."""


class Figures:
    """Rows by scenario and target."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row.scenario, row.target): row for row in rows}

    def row(self, scenario: str, target: str) -> Row:
        found = self._rows.get((scenario, target))
        if found is None:
            raise _MissingError
        return found

    def policy(self, scenario: str, target: str) -> float:
        """CPU seconds of the policy layer per request."""
        return self.row(scenario, target).cpu["policy"]

    def gap(self, target: str) -> float:
        """p99 of the gaps between chunks of a long stream, in seconds."""
        gap = self.row(LONG.name, target).gap
        if gap is None:
            raise _MissingError
        return gap.p99


def _at_most(bound: float) -> Callable[[float], bool]:
    return lambda value: value <= bound


def _at_least(bound: float) -> Callable[[float], bool]:
    return lambda value: value >= bound


def _default_cpu(told: Figures) -> float:
    """CPU of the whole way, as a share of what is allowed for it: the kinder of the two bounds."""
    own = told.policy(BUSY.name, "wire default")
    return min(own / _DEFAULT_CPU, own / told.policy(BUSY.name, "grpcio echo") / _DEFAULT_SHARE)


_DEFAULT_CPU: Final = 120e-6
_DEFAULT_SHARE: Final = 0.35
_Check = tuple[str, str, Callable[[Figures], float], Callable[[float], bool], str]
_CHECKS: Final[Sequence[_Check]] = (
    (
        "policy CPU without a policy: wire to grpcio (echo, 32 connections)",
        "at most 0.20",
        lambda told: told.policy(BUSY.name, "wire echo") / told.policy(BUSY.name, "grpcio echo"),
        _at_most(0.20),
        "{:.3f}",
    ),
    (
        "requests per second without a policy: wire to grpcio (echo, 32 connections)",
        "at least 2",
        lambda told: told.row(BUSY.name, "wire echo").rate / told.row(BUSY.name, "grpcio echo").rate,
        _at_least(2),
        "{:.2f}",
    ),
    (
        "policy CPU with identity, access and settlement (wire default, 32 connections), as a share of what is allowed:"
        " 120 us, or on a slow machine 0.35 of grpcio without a policy",
        "at most 1",
        _default_cpu,
        _at_most(1),
        "{:.2f}",
    ),
    (
        "requests per second: wire default to LiteLLM (32 connections, one worker each)",
        "at least 30",
        lambda told: told.row(BUSY.name, "wire default").rate / told.row(BUSY.name, "litellm").rate,
        _at_least(30),
        "{:.1f}",
    ),
    (
        "policy CPU: wire default to Portkey (32 connections)",
        "below 0.10",
        lambda told: told.policy(BUSY.name, "wire default") / told.policy(BUSY.name, "portkey"),
        lambda value: value < 0.10,
        "{:.3f}",
    ),
    (
        "p50 added to plain Envoy, ms (wire default, 1 connection)",
        "at most 0.6",
        lambda told: (told.row(ALONE.name, "wire default").p50 - told.row(ALONE.name, BASE).p50) * 1000,
        _at_most(0.6),
        "{:.2f}",
    ),
    (
        "policy CPU of a stream of 500 chunks to a plain answer (wire default, at the same rate)",
        "at most 1.2",
        lambda told: told.policy(LONG.name, "wire default") / told.policy(SELDOM.name, "wire default"),
        _at_most(1.2),
        "{:.2f}",
    ),
    (
        "p99 of gaps between chunks beyond plain Envoy's, ms (wire default, 500 chunks)",
        "at most 0.3",
        lambda told: (told.gap("wire default") - told.gap(BASE)) * 1000,
        _at_most(0.3),
        "{:.2f}",
    ),
    (
        "policy CPU added by limits on five subjects, us per request (wire limits to wire default, 32 connections)",
        "at most 90",
        lambda told: (told.policy(BUSY.name, "wire limits") - told.policy(BUSY.name, "wire default")) * 1e6,
        _at_most(90),
        "{:.0f}",
    ),
    (
        "p50 added by limits on five subjects, ms (wire limits to wire default, 1 connection)",
        "at most 0.35",
        lambda told: (told.row(ALONE.name, "wire limits").p50 - told.row(ALONE.name, "wire default").p50) * 1000,
        _at_most(0.35),
        "{:.2f}",
    ),
    (
        "policy CPU added by the journal, us per request (wire audit to wire default, 32 connections)",
        "at most 40",
        lambda told: (told.policy(BUSY.name, "wire audit") - told.policy(BUSY.name, "wire default")) * 1e6,
        _at_most(40),
        "{:.0f}",
    ),
    (
        "p50 added by the journal, ms (wire audit to wire default, 1 connection)",
        "at most 0.1",
        lambda told: (told.row(ALONE.name, "wire audit").p50 - told.row(ALONE.name, "wire default").p50) * 1000,
        _at_most(0.1),
        "{:.2f}",
    ),
    (
        "p50 while Langfuse and a collector of traces are told, to p50 while they are not (wire langfuse to wire audit,"
        " 1 connection)",
        "at most 1.05",
        lambda told: told.row(ALONE.name, "wire langfuse").p50 / told.row(ALONE.name, "wire audit").p50,
        _at_most(1.05),
        "{:.2f}",
    ),
    (
        "p50 added to AI Gateway by all controls, ms (aigw wire all to aigw, 1 connection)",
        "at most 1.0",
        lambda told: (told.row(ALONE.name, "aigw wire all").p50 - told.row(ALONE.name, "aigw").p50) * 1000,
        _at_most(1.0),
        "{:.2f}",
    ),
    (
        "policy CPU added by cost and its metrics, us per request (wire cost to wire default, 32 connections)",
        "at most 40",
        lambda told: (told.policy(BUSY.name, "wire cost") - told.policy(BUSY.name, "wire default")) * 1e6,
        _at_most(40),
        "{:.0f}",
    ),
)


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Every aim, with what was found."""
    told = Figures(rows)
    found = []
    for aim, bound, figure, holds, form in _CHECKS:
        try:
            value = figure(told)
        except (_MissingError, ZeroDivisionError):
            found.append(Goal(aim, bound, "not measured", None))
        else:
            found.append(Goal(aim, bound, form.format(value), holds(value)))
    return found
