"""`sluicegate check`: is this configuration right? Asked offline, before anything depends on it."""

from __future__ import annotations

from extproc.cli.console import complain, say
from extproc.cli.loading import Configuration, read_resolved
from extproc.cli.references import missing
from extproc.settings import Settings, parse


def command(configuration: Configuration) -> None:
    """Check a configuration offline: every mistake with its path and what was expected. Exit status 2 if it is wrong.

    Environment variables and files that are not there are warnings: they may be there where it will run.
    """
    from extproc.assembly import assemble

    tree = read_resolved(configuration)
    settings = parse(tree)
    assemble(settings)
    for warning in missing(tree):
        complain(warning, prefix="warning: ")
    say(f"{configuration}: right ({summary(settings)})")


def summary(settings: Settings) -> str:
    """What a configuration holds, in a few words."""
    counts = (
        (len(settings.policies), "policy", "policies"),
        (len(settings.upstreams), "upstream", "upstreams"),
        (len(settings.agents), "agent", "agents"),
        (len(settings.opaque), "opaque route", "opaque routes"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)
