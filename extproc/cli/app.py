"""Puts the commands together, runs one, and turns expected faults into lines and an exit status.

Exit status: 0 done, 1 a failure at run time, 2 a wrong configuration or command line, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from extproc.cli import check, demo, doctor, explain, render, schema, serve, status, token, up
from extproc.cli.hosting import Host
from extproc.commands import told
from extproc.embedded.faults import StackError
from extproc.printing import complain

GROUP: Final = "sluicegate.commands"
_OWN: Final = {
    module.__name__.rpartition(".")[2]: module
    for module in (up, demo, token, check, doctor, explain, serve, status, render, schema)
}


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
    for name, module in _OWN.items():
        app.command(name=name)(module.command)
    for plugin in sorted(plugins, key=lambda plugin: plugin.name):
        try:
            commands = _load(plugin)
        except Exception as error:
            # Whatever a stranger's module does at import: the other commands still work.
            complain(f"the command {plugin.name!r} ({plugin.value}) is left out: {type(error).__name__}: {error}")
            continue
        app.add_typer(commands, name=plugin.name)
    return app


def wanted(arguments: Sequence[str], plugins: Sequence[EntryPoint]) -> Sequence[EntryPoint]:
    """The plugins that this command line is about; all of them where it names none, for the help. Some take half a second
    to be imported."""
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first in _OWN:
        return ()
    named = [plugin for plugin in plugins if plugin.name == first]
    return named or plugins


def _load(plugin: EntryPoint) -> typer.Typer:
    commands = plugin.load()
    if not isinstance(commands, typer.Typer):
        raise TypeError(f"expected a typer.Typer, found {type(commands).__name__}")
    return commands


def run(arguments: Sequence[str], *, plugins: Sequence[EntryPoint] | None = None) -> int:
    """Run a command line; its exit status."""
    app = build(wanted(arguments, tuple(entry_points(group=GROUP)) if plugins is None else plugins))
    try:
        with told():
            app(args=list(arguments), prog_name="sluicegate", obj=Host())
    except typer.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except StackError as error:
        for line in error.lines:
            complain(f"  {line}", prefix="")
        # Last, where it is seen: the lines above it may be many.
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
