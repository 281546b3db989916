"""`sluicegate demo`: the stack for a moment, with a tour of requests through it, and the bill."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from extproc.cli.hosting import Host
from extproc.cli.progress import Progress
from extproc.configured import read_tree, running
from extproc.printing import complain, say, show_table

if TYPE_CHECKING:
    from extproc.embedded.stack import Stack
    from extproc.embedded.tour import Seen, Stop

_PATIENCE: Final = 20.0
"""Seconds until the ledger must have the tour: the journal is brought to it each second."""
_APART: Final = timedelta(minutes=1)


def command() -> None:
    """Start the demo on a free port, send a tour of requests, say what came of each and who spent what, stop it.

    Exit status 1 if anything differed from what was expected; the logs are kept then.
    """
    state = Path(tempfile.mkdtemp(prefix="sluicegate-demo-"))
    status = 1
    try:
        status = asyncio.run(_demo(state))
    finally:
        if status:
            complain(f"the logs are in {state / 'logs'}")
        else:
            shutil.rmtree(state, ignore_errors=True)
    if status:
        raise typer.Exit(status)


async def _demo(state: Path) -> int:
    from extproc.embedded.ports import free_port
    from extproc.embedded.running import interruptible, run_stack
    from extproc.embedded.stack import DEMO
    from extproc.embedded.tour import with_upstream_down

    tree = with_upstream_down(read_tree(DEMO), free_port())
    with Progress() as progress, interruptible() as interruption:

        async def tour(stack: Stack) -> int:
            progress.pause()
            return await _tour(stack, state)

        try:
            return await run_stack(tree, state=state, port=0, report=progress.report, work=tour)
        except asyncio.CancelledError:
            return 128 + (interruption.signal or 0)


async def _tour(stack: Stack, state: Path) -> int:
    import httpx

    from extproc.embedded.tour import STOPS, visit

    began = datetime.now(UTC)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        visits = [(stop, await visit(stop, client, state)) for stop in STOPS]
    say()
    rows = [_row(stop, seen) for stop, seen in visits]
    styles = [None if seen.fits(stop.expected) else "red" for stop, seen in visits]
    show_table(("request", "what came of it", "tokens", "proves", ""), rows, styles=styles)
    say()
    wrong = [difference(stop, seen) for stop, seen in visits if not seen.fits(stop.expected)]
    missing = await _bill(state, began)
    for line in wrong:
        say(line)
    if wrong:
        say(f"{len(wrong)} of {len(visits)} came otherwise than expected.")
    if missing:
        say(f"{missing} requests of the tour are not in the ledger.")
    if not wrong and not missing:
        say("Everything came as expected.")
    return 1 if wrong or missing else 0


async def _bill(state: Path, began: datetime) -> int:
    """Show who spent what, once the ledger has it; how many requests it lacks."""
    from extproc.embedded.billing import lines, recorded, spent
    from extproc.embedded.tour import STOPS

    host, path, requests = Host(), running(state), sum(stop.times for stop in STOPS)
    period = began - _APART, datetime.now(UTC) + _APART
    found = await spent(lambda question: host.spending(path, question), *period, requests, patience=_PATIENCE)
    heading, *rows = lines(found, [stop.caller for stop in STOPS if stop.caller is not None])
    say("The bill, from the ledger:")
    say()
    show_table(heading, rows)
    say()
    return max(0, requests - recorded(found))


def difference(stop: Stop, seen: Seen) -> str:
    """What was expected, and what came instead."""

    def words(what: object, *, tokens: bool) -> str:
        return f"{what}, {'metered' if tokens else 'not metered'}"

    expected = words(stop.expected, tokens=stop.expected.metered)
    return f"{stop.title}: expected {expected}; got {words(seen, tokens=seen.tokens is not None)}"


def _row(stop: Stop, seen: Seen) -> tuple[str, ...]:
    tokens = "-" if seen.tokens is None else f"{seen.tokens[0]}/{seen.tokens[1]}"
    return (stop.title, str(seen), tokens, stop.proves, "ok" if seen.fits(stop.expected) else "differs")
