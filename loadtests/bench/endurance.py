"""`python -m loadtests.bench.endurance [--only soak|bodies] [--publish FOLDER]`: memory and counts, over time."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from extproc.embedded.faults import StackError
from extproc.embedded.running import interruptible
from loadtests.bench.bodies import FACTOR, Bodies, bodies
from loadtests.bench.goals import Goal
from loadtests.bench.measure import BenchError, find_generator
from loadtests.bench.page import replaced
from loadtests.bench.report import Circumstances, Condition, circumstances
from loadtests.bench.run import say
from loadtests.bench.soak import GROWTH, Soak, soak
from loadtests.bench.tables import circumstances_lines, goals_table, table

_REQUESTS: Final = 1_000_000


def goals(soaked: Soak | None, large: Bodies | None) -> list[Goal]:
    """The aims of what was run."""
    found = []
    if soaked is not None:
        last = soaked.marks[-1]
        found.append(
            Goal(
                f"memory after {last.requests:,} requests to that after {soaked.warm.requests:,}; all of them settled",
                f"at most {GROWTH:g}",
                f"{soaked.growth:.3f}",
                soaked.holds,
            )
        )
    if large is not None:
        found.append(
            Goal(
                f"{large.size / 2**20:g} MiB bodies both ways, {large.at_once} at a time: right bytes, and memory to the"
                " bodies in flight",
                f"at most {FACTOR:g}",
                f"{large.factor:.2f}, {large.right} of {large.exchanges} right",
                large.holds,
            )
        )
    return found


def as_markdown(told: Circumstances, soaked: Soak | None, large: Bodies | None) -> str:
    """The report."""
    parts = ["\n".join(circumstances_lines(told)), goals_table(goals(soaked, large))]
    if soaked is not None:
        rows = ([f"{mark.requests:,}", f"{mark.settled:,}", _mib(mark.resident)] for mark in soaked.marks)
        parts.append(table(("Requests so far", "Settled", "policy process MiB"), rows))
    if large is not None:
        row = [str(large.exchanges), str(large.right), _mib(large.in_flight), _mib(large.before), _mib(large.peak)]
        parts.append(table(("Exchanges", "Right", "MiB in flight", "policy process MiB before", "peak"), [row]))
    return "\n\n".join(parts) + "\n"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


async def _run(only: str | None, requests: int) -> tuple[Soak | None, Bodies | None]:
    with interruptible():
        large = await bodies(say) if only != "soak" else None
        soaked = await soak(requests, find_generator(), say) if only != "bodies" else None
        return soaked, large


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; the exit status: 0 whatever the figures, 1 if the run does not count, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.endurance", description=__doc__)
    parser.add_argument("--only", choices=("soak", "bodies"))
    parser.add_argument("--requests", type=int, default=_REQUESTS)
    parser.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="write endurance.json there, and into performance.md"
    )
    chosen = parser.parse_args(arguments)
    if chosen.requests < 1:
        parser.error("expected at least one request")
    if chosen.publish and chosen.only:
        parser.error("only the whole is published")
    before = Condition.now()
    try:
        soaked, large = asyncio.run(_run(chosen.only, chosen.requests))
    except (BenchError, StackError) as error:
        print(error, *getattr(error, "lines", ()), sep="\n", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    told = circumstances(before)
    text = as_markdown(told, soaked, large)
    print(text)
    if chosen.publish:
        found = {"circumstances": asdict(told), "soak": _data(soaked), "bodies": _data(large)}
        (chosen.publish / "endurance.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        page = chosen.publish / "performance.md"
        page.write_text(replaced(page.read_text("utf-8"), "endurance", text), "utf-8")
    return 0


def _data(found: Soak | Bodies | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "holds": found.holds}


if __name__ == "__main__":
    sys.exit(main())
