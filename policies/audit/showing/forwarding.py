"""`sluicegate audit follow`, `status` and `replay`: the sinks that follow the journals."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from extproc.commands import taking
from extproc.mistakes import ConfigurationError
from extproc.printing import complain, say, show_json, show_table
from policies.audit.following.replaying import replay as deliver_again
from policies.audit.following.status import FILE, read_status
from policies.audit.showing import options, standing, words
from policies.audit.showing.assembled import followings, run
from policies.audit.showing.configured import Configured
from policies.audit.showing.options import Json


@taking(configured=options.configured)
def follow(*, configured: Configured) -> None:
    """Bring what is recorded to every sink of the configuration, until SIGTERM. One process for each folder is enough."""
    run(configured)


@taking(configured=options.located)
def status(*, configured: Configured, as_json: Json = False) -> None:
    """Show how far every sink is behind, whether it takes records, and its dead letters.

    Exit status: 0 all is well, 1 not.
    """
    found = read_status(configured.folder)
    if found is None:
        path = configured.folder / FILE
        complain(f"{path} is not there, or not readable: `sluicegate audit follow` writes it each second")
        raise typer.Exit(1)
    now = time.time()
    well = standing.is_well(found, now)
    if as_json:
        show_json({"well": well, "fresh": found.is_fresh(now), "status": found})
    else:
        sinks = sorted(found.sinks.items())
        show_table(
            standing.COLUMNS,
            [standing.row(name, sink) for name, sink in sinks],
            styles=[standing.style(sink) for _, sink in sinks],
        )
        for remark in standing.remarks(found, now):
            say(remark)
    if not well:
        raise typer.Exit(1)


@taking(configured=options.configured)
def replay(
    *,
    sink: Annotated[str, typer.Argument(metavar="SINK", help="The name of a sink in the configuration.")],
    configured: Configured,
) -> None:
    """Deliver the dead letters of a sink again. What it takes is removed; what it refuses once more stays."""
    known = {one.name: one for one in followings(configured)}
    if sink not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigurationError([f"{configured.place}.sinks: no sink {sink!r}: there are {names}"])
    done = asyncio.run(deliver_again(configured.folder, known[sink]))
    say(f"{sink}: {words.several(done.taken, 'dead letter')} delivered, {done.refused:,} refused once more")
    if done.unreadable:
        complain(f"{words.several(done.unreadable, 'dead letter')} cannot be read, and stay", prefix="warning: ")
    if done.refused or done.unreadable:
        raise typer.Exit(1)
