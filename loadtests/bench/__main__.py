"""`python -m loadtests.bench [--quick] [--only TARGETS] [--publish FOLDER]`: see `docs/performance.md`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from extproc.embedded.faults import StackError
from extproc.embedded.running import interruptible
from loadtests.bench.measure import BenchError, find_generator
from loadtests.bench.page import replaced
from loadtests.bench.report import Condition, Report, as_json, report
from loadtests.bench.results import BASE
from loadtests.bench.run import Run, run, say
from loadtests.bench.scenarios import ALONE, BUSY, HALF, LONG, SCENARIOS, SELDOM, Extent, Scenario
from loadtests.bench.stand import NAMES, Wish
from loadtests.bench.tables import as_markdown, goals_table

_FULL: Final = (3, 2, 2.0)
_QUICK: Final = (1, 1, 1.5)
_QUICK_SCENARIOS: Final = (ALONE, BUSY, HALF, LONG, SELDOM)
_QUICK_NAMES: Final = tuple(name for name in NAMES if not name.endswith(" empty"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="Sluicegate next to others.")
    parser.add_argument("--quick", action="store_true", help="two minutes at most; installs nothing")
    parser.add_argument("--only", metavar="TARGETS", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, help="of each round, about (default: 2, quick: 1.5)")
    parser.add_argument("--starts", type=int, help="of everything, each with all its rounds (default: 3, quick: 1)")
    parser.add_argument("--rounds", type=int, help="of each scenario in each start (default: 2, quick: 1)")
    parser.add_argument(
        "--generator",
        choices=("auto", "wrk", "own"),
        default="auto",
        help="of closed loops; auto: wrk if it is installed",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, instead of printing it")
    parser.add_argument(
        "--publish",
        type=Path,
        metavar="FOLDER",
        help="write performance.json and .png there, and the tables into performance.md",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status: 0 whatever the figures, 1 if the run does not count, 130 if interrupted."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    starts, rounds, seconds = _QUICK if chosen.quick else _FULL
    starts = starts if chosen.starts is None else chosen.starts
    rounds = rounds if chosen.rounds is None else chosen.rounds
    seconds = seconds if chosen.seconds is None else chosen.seconds
    if min(starts, rounds) < 1 or seconds <= 0:
        parser.error("expected at least one start and one round, and more than no time")
    names = _QUICK_NAMES if chosen.quick else NAMES
    if chosen.only:
        names = tuple(name.strip() for name in chosen.only.split(","))
        if unknown := set(names) - set(NAMES):
            parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
        # Ratios are to this one.
        names = (BASE, *names)
    extent = Extent(rounds, seconds, find_generator(chosen.generator), starts)
    wish = Wish(names, install=not chosen.quick)
    before = Condition.now()
    try:
        measured = asyncio.run(_interruptible_run(extent, wish, _QUICK_SCENARIOS if chosen.quick else SCENARIOS))
    except (BenchError, StackError) as error:
        print(error, *getattr(error, "lines", ()), sep="\n", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    _tell(report(measured, extent, before), chosen.json, chosen.markdown, chosen.publish)
    return 0


async def _interruptible_run(extent: Extent, wish: Wish, scenarios: Sequence[Scenario]) -> Run:
    with interruptible():
        return await run(extent, wish, say, scenarios)


def _tell(told: Report, as_data: Path | None, text: Path | None, folder: Path | None) -> None:
    data, tables = json.dumps(as_json(told), indent=2) + "\n", as_markdown(told)
    if as_data:
        as_data.write_text(data, "utf-8")
    if folder:
        _publish(told, folder, data, tables)
    if text:
        text.write_text(tables, "utf-8")
    elif folder:
        print(goals_table(told.goals))
    else:
        print(tables)
    missed = [goal.aim for goal in told.goals if goal.holds is False]
    unknown = sum(goal.holds is None for goal in told.goals)
    say(f"{len(told.goals) - len(missed) - unknown} aims hold, {len(missed)} do not, {unknown} were not measured")
    for aim in missed:
        say(f"does not hold: {aim}")


def _publish(told: Report, folder: Path, data: str, tables: str) -> None:
    from loadtests.bench.plot import draw

    machine = told.circumstances.machine
    draw(
        told.rows,
        folder / "performance.png",
        f"{machine['cpu']}, {machine['cores']} cores, {told.circumstances.date[:10]}; logarithmic scales",
    )
    (folder / "performance.json").write_text(data, "utf-8")
    page = folder / "performance.md"
    page.write_text(replaced(page.read_text("utf-8"), "bench", tables), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
