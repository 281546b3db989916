"""Puts the commands together, runs one, and turns expected faults into lines and an exit status.

Exit status: 0 done, 1 a failure at run time, 2 a wrong configuration or command line, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from extproc.cli import check, demo, explain, render, schema, serve, status, token, up
from extproc.cli.console import complain
from extproc.cli.hosting import Host
from extproc.embedded.faults import StackError
from extproc.mistakes import ConfigurationError

GROUP: Final = "sluicegate.commands"


def build(plugins: Sequence[EntryPoint]) -> typer.Typer:
    """The application, with the commands of installed policies. One that cannot be imported is reported and left out."""
    app = typer.Typer(
        name="sluicegate",
        help="The policy layer of an AI gateway: decides, meters and accounts for every LLM request at Envoy.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Boxes are for terminals.
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in (up, demo, token, check, explain, serve, status, render, schema):
        app.command(name=module.__name__.rpartition(".")[2])(module.command)
    for plugin in sorted(plugins, key=lambda plugin: plugin.name):
        try:
            commands = _load(plugin)
        except Exception as error:
            # Whatever a stranger's module does at import: the other commands still work.
            complain(f"the command {plugin.name!r} ({plugin.value}) is left out: {type(error).__name__}: {error}")
            continue
        app.add_typer(commands, name=plugin.name)
    return app


def _load(plugin: EntryPoint) -> typer.Typer:
    commands = plugin.load()
    if not isinstance(commands, typer.Typer):
        raise TypeError(f"expected a typer.Typer, found {type(commands).__name__}")
    return commands


def run(arguments: Sequence[str], *, plugins: Sequence[EntryPoint] | None = None) -> int:
    """Run a command line; its exit status."""
    app = build(tuple(entry_points(group=GROUP)) if plugins is None else plugins)
    try:
        app(args=list(arguments), prog_name="sluicegate", obj=Host())
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            complain(mistake)
        if error.more:
            complain("more may follow when these are mended")
        return 2
    except StackError as error:
        for line in error.lines:
            complain(f"  {line}", prefix="")
        # Last, where it is seen: the lines above it may be many.
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
