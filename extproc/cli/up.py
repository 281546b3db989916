"""`sluicegate up`: the whole gateway on this machine, in front, until Ctrl-C."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from extproc.ai_gateway.running import ENVIRONMENT
from extproc.cli.check import warnings
from extproc.cli.introduction import introduce
from extproc.cli.loading import DEFAULT_STATE, OptionalConfiguration, State, examined, must_be_there, placed
from extproc.cli.progress import Progress
from extproc.configured import read_tree
from extproc.printing import complain, say


class Profile(StrEnum):
    """A value of `server.profile`."""

    PLAIN = "plain"
    AI_GATEWAY = "ai-gateway"


def command(
    configuration: OptionalConfiguration = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Instead of the configuration's (8080 unless it says); 0: any free one."),
    ] = None,
    state: State = DEFAULT_STATE,
    profile: Annotated[
        Profile | None,
        typer.Option(help="Instead of the configuration's `server.profile`.", show_default=False),
    ] = None,
    aigw: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar=ENVIRONMENT,
            help="The binary of Envoy AI Gateway, for the profile ai-gateway.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start the gateway with all it needs, and stay in front. Ctrl-C ends it; Ctrl-C twice, at once.

    Starts Envoy, Valkey and the policy server; a demo identity provider and a simulator of LLM providers where the
    configuration names them by embedded://identity and embedded://simulator. In the profile ai-gateway the binary that
    --aigw names runs Envoy AI Gateway, with Envoy in it.
    """
    status = asyncio.run(_up(configuration, port, state, profile, aigw))
    if status:
        raise typer.Exit(status)


async def _up(
    configuration: Path | None, port: int | None, state: Path, profile: Profile | None, aigw: Path | None
) -> int:
    # Imported here, in what can be interrupted: it takes a moment.
    from extproc.embedded.running import interruptible, run_stack
    from extproc.embedded.stack import DEMO, Stack

    path = configuration or DEMO
    found = examined(path)[1]
    must_be_there(path)
    for warning in placed(warnings(found), path):
        complain(warning, prefix="warning: ")
    served = False

    async def stay(stack: Stack) -> None:
        nonlocal served
        served = True
        progress.pause()
        introduce(stack, state)
        await asyncio.Event().wait()

    with Progress() as progress, interruptible() as interruption:
        try:
            await run_stack(
                read_tree(path),
                state=state,
                port=port,
                report=progress.report,
                work=stay,
                profile=profile.value if profile is not None else None,
                aigw=aigw,
            )
        except asyncio.CancelledError:
            progress.pause()
            say("stopped")
    # To be stopped is how it is meant to end; while starting, it is not.
    return 0 if served or interruption.signal is None else 128 + interruption.signal
