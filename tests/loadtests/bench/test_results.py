"""From what was read to what is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadtests.bench.bodies import Bodies, answer, question
from loadtests.bench.endurance import as_markdown as endurance_markdown
from loadtests.bench.endurance import goals as endurance_goals
from loadtests.bench.goals import Goal, goals
from loadtests.bench.load import Spread
from loadtests.bench.results import Cell, faults, row
from loadtests.bench.scenarios import ALONE, BUSY, LONG, SCENARIOS, SELDOM, Extent
from loadtests.bench.soak import Mark, Soak
from loadtests.bench.tables import as_markdown, goals_table
from tests.loadtests.bench.making import LOAD, SPREAD, WHERE, a_report, a_row, cell


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (cell(), None),
        (cell(settled=100), None),
        (cell(arrived=132, settled=132), None),
        (cell(arrived=133, settled=133), "133 requests arrived, 100 were answered"),
        (cell(arrived=99), "99 requests arrived, 100 were answered"),
        (cell(settled=99), "100 requests arrived, 99 were settled"),
        (cell(settled=101), "100 requests arrived, 101 were settled"),
        (cell(settled=100, unmetered=2), "2 answers were not metered"),
        (cell(load=replace(LOAD, errors=1)), "1 requests failed"),
        (cell(load=replace(LOAD, requests=0), arrived=0), "no request was answered"),
    ],
)
def test_what_does_not_count_is_said(measured: Cell, reason: str | None) -> None:
    assert faults(measured, 32, 0) == ([] if reason is None else [reason])


@pytest.mark.parametrize(("chunks", "good"), [(50 * 100, True), (52 * 100, True), (50 * 100 - 1, False), (0, False)])
def test_a_stream_that_lost_a_chunk_does_not_count(chunks: int, good: bool) -> None:
    assert (faults(cell(load=replace(LOAD, chunks=chunks)), 8, 50) == []) is good


def test_each_figure_is_of_the_round_in_which_it_was_best() -> None:
    base = [cell(load=replace(LOAD, p50=p50)) for p50 in (0.001, 0.010, 0.002)]
    own = [
        cell(
            load=replace(LOAD, p50=p50, requests=requests),
            cpu={"envoy": envoy, "policy": policy, "generator": 0.001},
            settled=100,
            peaks={"policy": peak},
        )
        for p50, requests, envoy, policy, peak in (
            (0.010, 80, 0.02, 0.06, 5),
            (0.003, 90, 0.05, 0.01, 7),
            (0.008, 100, 0.04, 0.02, 7),
        )
    ]
    found = row("s", "empty", own, base)
    # A neighbour that takes half a core makes every figure worse, and no figure better.
    assert found.p50 == 0.003
    assert found.rate == 50
    assert found.cpu == pytest.approx({"envoy": 0.0002, "policy": 0.0001, "generator": 0.00001})
    assert found.ratios["p50"] == pytest.approx(3)
    assert found.ratios["rate"] == pytest.approx(1)
    assert found.ratios["policy_cpu"] == pytest.approx(1)
    assert found.ratios["envoy_cpu"] == pytest.approx(2)
    assert found.ratios["gateway_cpu"] == pytest.approx(3)
    assert (found.requests, found.settled, found.peaks) == (300, 300, {"policy": 7})
    assert found.generator_cores == pytest.approx(0.003 / 6)


def test_without_plain_envoy_there_are_no_ratios() -> None:
    assert row("s", "empty", [cell()], ()).ratios == {}


def test_spreads_are_the_best_of_the_rounds() -> None:
    rounds = [cell(load=replace(LOAD, gap=Spread(p50, 0.1, p99))) for p50, p99 in ((1, 9), (2, 7), (3, 8))]
    assert row("s", "t", [*rounds, cell()], ()).gap == Spread(1, 0.1, 7)


@pytest.mark.parametrize(
    ("tool", "scenario", "expected"),
    [("wrk", ALONE, 1.0), ("wrk", BUSY, 2.0), ("own", ALONE, 1.0), ("wrk", SELDOM, 2.0), ("own", BUSY, 1.5)],
)
def test_wrk_runs_for_whole_seconds(tool: str, scenario: Any, expected: float) -> None:
    assert Extent(1, 1.5, tool).seconds_of(scenario) == expected


def test_a_scenario_follows_an_earlier_one() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    for number, scenario in enumerate(SCENARIOS):
        assert scenario.follows is None or scenario.follows in names[:number]


def figures(**changes: Any) -> list[Goal]:
    """The aims of a run in which all hold, but for what is changed: CPU in us, gaps and latencies in ms."""
    told: dict[str, float] = {"grpcio": 400, "wire": 50, "default": 110, "portkey": 1200, "stream": 120, "seldom": 100}
    told |= {"grpcio_rate": 2500, "wire_rate": 7000, "default_rate": 6000, "litellm_rate": 100}
    told |= {"plain_p50": 0.1, "default_p50": 0.6, "plain_gap": 2.1, "default_gap": 2.3}
    told |= {"limits": 190, "limits_p50": 0.9, "audit": 140, "audit_p50": 0.65, "langfuse_p50": 0.65, "cost": 130}
    told |= {"aigw_p50": 0.9, "aigw_all_p50": 1.8}
    told |= changes
    if "default_p50" in changes and "limits_p50" not in changes:
        told["limits_p50"] = told["audit_p50"] = told["langfuse_p50"] = changes["default_p50"]

    def busy(target: str, cpu: str, rate: str = "wire_rate") -> Any:
        return a_row(BUSY.name, target, cpu={"policy": told[cpu] / 1e6}, rate=told[rate])

    return goals(
        [
            busy("grpcio echo", "grpcio", "grpcio_rate"),
            busy("wire echo", "wire", "wire_rate"),
            busy("wire default", "default", "default_rate"),
            busy("wire limits", "limits"),
            busy("wire audit", "audit"),
            busy("wire cost", "cost"),
            busy("portkey", "portkey"),
            busy("litellm", "portkey", "litellm_rate"),
            a_row(ALONE.name, "plain", p50=told["plain_p50"] / 1000),
            a_row(ALONE.name, "wire default", p50=told["default_p50"] / 1000),
            a_row(ALONE.name, "wire limits", p50=told["limits_p50"] / 1000),
            a_row(ALONE.name, "wire audit", p50=told["audit_p50"] / 1000),
            a_row(ALONE.name, "wire langfuse", p50=told["langfuse_p50"] / 1000),
            a_row(ALONE.name, "aigw", p50=told["aigw_p50"] / 1000),
            a_row(ALONE.name, "aigw wire all", p50=told["aigw_all_p50"] / 1000),
            a_row(LONG.name, "plain", gap=replace(SPREAD, p99=told["plain_gap"] / 1000)),
            a_row(
                LONG.name,
                "wire default",
                gap=replace(SPREAD, p99=told["default_gap"] / 1000),
                cpu={"policy": told["stream"] / 1e6},
            ),
            a_row(SELDOM.name, "wire default", cpu={"policy": told["seldom"] / 1e6}),
        ]
    )


def missed(found: list[Goal]) -> list[int]:
    return [number for number, goal in enumerate(found) if goal.holds is not True]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"wire": 81}, [0]),
        ({"wire_rate": 4999}, [1]),
        ({"default": 119, "grpcio": 300}, []),
        ({"default": 139}, [4]),
        ({"default": 141, "portkey": 2000}, [2]),
        ({"default_rate": 2999}, [3]),
        ({"portkey": 1099}, [4]),
        ({"default_p50": 0.71}, [5]),
        ({"stream": 121}, [6]),
        ({"default_gap": 2.41}, [7]),
        ({"default_gap": 1.0}, []),
        ({"limits": 199}, []),
        ({"limits": 201}, [8]),
        ({"cost": 149}, []),
        ({"cost": 151}, [14]),
        ({"aigw_all_p50": 1.89}, []),
        ({"aigw_all_p50": 1.91}, [13]),
        ({"langfuse_p50": 0.68}, []),
        ({"langfuse_p50": 0.69}, [12]),
        ({"limits_p50": 0.94}, []),
        ({"limits_p50": 0.96}, [9]),
        ({"audit": 149}, []),
        ({"audit": 151}, [10]),
        ({"audit_p50": 0.69}, []),
        ({"audit_p50": 0.71, "langfuse_p50": 0.71}, [11]),
    ],
)
def test_an_aim_that_is_missed_is_said(changes: dict[str, float], expected: list[int]) -> None:
    assert missed(figures(**changes)) == expected


def test_what_was_not_measured_neither_holds_nor_fails() -> None:
    assert {goal.holds for goal in goals([])} == {None}
    assert "| - |" in goals_table(goals([]))


@pytest.mark.parametrize(
    "line",
    [
        "| s | plain | 1.00 | 1.00 | 1.00 | 1.00 | - | 1.00 | 1.00 |",
        "| s | default | 1.00 | 1.00 | 1.00 | 1.00 | 3.00 | 2.00 | 5.00 |",
        "| s | default | 50 | 1.00 | 2.00 | 4.00 | - | 0.00 |",
        "| s | default | 300 | 200 | - | - | 10 | 10 |",
        "| s | default | 100 | 100 | 0 | 1 | - |",
        "| s | plain | 100 | - | 0 | - | - |",
        "| bare | wrk | 1,234 | 5 | 0.50 |",
        "- cpu C, cores 2",
        "- before a round it took 4.00 to 9.00 ms, 5.00 or less in half of them",
        "- portkey was not measured: no npm",
    ],
)
def test_the_report_says_it(line: str) -> None:
    assert line in as_markdown(a_report()).splitlines()


def test_streams_have_a_table_of_their_own() -> None:
    load = replace(LOAD, chunks=50_000, first=Spread(0.001, 0.002, 0.003), gap=SPREAD)
    text = as_markdown(a_report({(LONG.name, "plain"): [cell(load=load)]}))
    assert f"| {LONG.name} | plain | 1.00 | 3.00 | 2.00 | 5.00 | - | 100 |" in text.splitlines()


def test_every_table_has_as_many_cells_in_each_line() -> None:
    for section in as_markdown(a_report()).split("### ")[1:]:
        assert len({line.count("|") for line in section.splitlines() if line.startswith("|")}) == 1


def test_aims_and_ratios_come_first() -> None:
    titles = [line for line in as_markdown(a_report()).splitlines() if line.startswith("### ")]
    assert titles[:2] == ["### What we want, and what was found", "### Ratios to plain Envoy"]


def soaked(*marks: tuple[int, int, int]) -> Soak:
    return Soak([Mark(*mark) for mark in marks])


@pytest.mark.parametrize(
    ("found", "growth", "holds"),
    [
        (soaked((100, 100, 50), (1000, 1000, 52)), 1.04, True),
        (soaked((50, 50, 10), (100, 100, 50), (1000, 1000, 53)), 1.06, False),
        (soaked((100, 100, 50), (1000, 999, 50)), 1.0, False),
        (soaked((99, 99, 10), (1000, 1000, 40)), 1.0, True),
    ],
)
def test_growth_counts_from_the_first_tenth(found: Soak, growth: float, holds: bool) -> None:
    assert found.growth == pytest.approx(growth)
    assert found.holds is holds
    assert [goal.holds for goal in endurance_goals(found, None)] == [holds]


@pytest.mark.parametrize(("right", "peak", "holds"), [(24, 100 + 1200, True), (24, 100 + 1201, False), (23, 200, False)])
def test_bodies_must_be_right_and_memory_bounded(right: int, peak: int, holds: bool) -> None:
    found = Bodies(size=100, at_once=8, exchanges=24, right=right, before=100, peak=peak)
    assert found.holds is holds
    text = endurance_markdown(WHERE, None, found)
    assert f"{right} of 24 right" in text
    assert ("**no**" in text) is not holds


@pytest.mark.parametrize("size", [1000, 4097, 65_536])
def test_bodies_have_exactly_their_size(size: int) -> None:
    bodies = [question(size, number) for number in range(3)] + [answer(size)]
    assert {len(body) for body in bodies} == {size}
    assert len(set(bodies)) == 4
