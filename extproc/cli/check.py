"""`sluicegate check`: is this configuration right? Asked offline, before anything depends on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from extproc.cli.console import complain, say
from extproc.cli.loading import Configuration, read_resolved
from extproc.cli.references import missing
from extproc.settings import ConfigurationError, Settings, parse

_APART: Final = frozenset({"listen", "server", "timeouts", "max_body_bytes", "identity_headers"})
"""Sections that policies know nothing of."""


def command(configuration: Configuration) -> None:
    """Check a configuration offline: every mistake with its path and what was expected. Exit status 2 if it is wrong.

    Environment variables and files that are not there are warnings: they may be there where it will run.
    """
    tree = read_resolved(configuration)
    settings = validated(tree)
    for warning in missing(tree):
        complain(warning, prefix="warning: ")
    say(f"{configuration}: right ({summary(settings)})")


def validated(tree: Mapping[str, Any]) -> Settings:
    """The settings of a tree, with those of its policies checked as well.

    Raises:
        ConfigurationError: with every mistake that does not follow from another.
    """
    from extproc.assembly import assemble

    try:
        settings = parse(tree)
    except ConfigurationError as error:
        wrong = {re.split(r"[.\[:]", mistake)[0] for mistake in error.mistakes}
        if wrong <= _APART | (set(tree) - set(Settings.model_fields)):
            # What policies decide about is as it should be: they are asked in the same go.
            try:
                assemble(parse({name: section for name, section in tree.items() if name not in wrong}))
            except ConfigurationError as further:
                raise ConfigurationError([*error.mistakes, *further.mistakes]) from error
        raise
    assemble(settings)
    return settings


def summary(settings: Settings) -> str:
    """What a configuration holds, in a few words."""
    counts = (
        (len(settings.policies), "policy", "policies"),
        (len(settings.upstreams), "upstream", "upstreams"),
        (len(settings.agents), "agent", "agents"),
        (len(settings.opaque), "opaque route", "opaque routes"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)
