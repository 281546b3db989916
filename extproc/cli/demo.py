"""`sluicegate demo`: the stack for a moment, with a tour of requests through it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from extproc.cli.progress import Progress
from extproc.configured import read_tree
from extproc.printing import complain, say, show_table

if TYPE_CHECKING:
    from extproc.embedded.stack import Stack
    from extproc.embedded.tour import Seen, Stop


def command() -> None:
    """Start the demo on a free port, send a tour of requests, say what came of each, stop it.

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

    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        visits = [(stop, await visit(stop, client, state)) for stop in STOPS]
    say()
    rows = [_row(stop, seen) for stop, seen in visits]
    styles = [None if seen.fits(stop.expected) else "red" for stop, seen in visits]
    show_table(("request", "what came of it", "tokens", "proves", ""), rows, styles=styles)
    say()
    wrong = [difference(stop, seen) for stop, seen in visits if not seen.fits(stop.expected)]
    for line in wrong:
        say(line)
    say("Everything came as expected." if not wrong else f"{len(wrong)} of {len(visits)} came otherwise than expected.")
    return 1 if wrong else 0


def difference(stop: Stop, seen: Seen) -> str:
    """What was expected, and what came instead."""

    def words(what: object, *, tokens: bool) -> str:
        return f"{what}, {'metered' if tokens else 'not metered'}"

    expected = words(stop.expected, tokens=stop.expected.metered)
    return f"{stop.title}: expected {expected}; got {words(seen, tokens=seen.tokens is not None)}"


def _row(stop: Stop, seen: Seen) -> tuple[str, ...]:
    tokens = "-" if seen.tokens is None else f"{seen.tokens[0]}/{seen.tokens[1]}"
    return (stop.title, str(seen), tokens, stop.proves, "ok" if seen.fits(stop.expected) else "differs")
