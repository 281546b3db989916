"""`python -m loadtests.bench [--quick] [--seconds N] [--rounds N] [--json FILE] [--markdown FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from extproc.embedded.faults import StackError
from extproc.embedded.running import interruptible
from loadtests.bench.measure import BenchError, find_generator
from loadtests.bench.report import as_json, as_markdown, report
from loadtests.bench.run import Run, run, say
from loadtests.bench.scenarios import Extent

_FULL: Final = (5, 3.0)
_QUICK: Final = (2, 1.0)


async def _interruptible_run(extent: Extent) -> Run:
    with interruptible():
        return await run(extent, say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status: 0, 1 if the run does not count, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="Sluicegate next to plain Envoy.")
    parser.add_argument("--quick", action="store_true", help="less than a minute, for a first look")
    parser.add_argument("--seconds", type=float, help="of each round (default: 3, quick: 1; whole ones with wrk)")
    parser.add_argument("--rounds", type=int, help="of each scenario (default: 5, quick: 2)")
    parser.add_argument(
        "--generator", choices=("auto", "wrk", "own"), default="auto", help="auto: wrk if it is installed"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, instead of printing it")
    chosen = parser.parse_args(arguments)
    rounds, seconds = _QUICK if chosen.quick else _FULL
    generator = find_generator(chosen.generator)
    rounds = rounds if chosen.rounds is None else chosen.rounds
    seconds = seconds if chosen.seconds is None else chosen.seconds
    if rounds < 1 or seconds <= 0:
        parser.error("expected at least one round, and more than no time")
    extent = Extent(rounds, max(1, round(seconds)) if generator == "wrk" else seconds, generator)
    load_before = os.getloadavg()[0]
    try:
        measured = asyncio.run(_interruptible_run(extent))
    except (BenchError, StackError) as error:
        print(error, *getattr(error, "lines", ()), sep="\n", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    told = report(measured, extent, load_before=load_before)
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(told), indent=2) + "\n", "utf-8")
    if chosen.markdown:
        chosen.markdown.write_text(as_markdown(told), "utf-8")
    else:
        print(as_markdown(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
