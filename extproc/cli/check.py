"""`sluicegate check`: is this configuration right? Asked offline, before anything depends on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from extproc.cli.doubts import doubts
from extproc.cli.loading import Configuration, examined, placed, wrong_certificates
from extproc.cli.references import missing
from extproc.printing import complain, say
from extproc.settings import Settings

if TYPE_CHECKING:
    from extproc.assembly import Examined


def command(configuration: Configuration) -> None:
    """Check a configuration offline: every mistake with its line, and what was expected. Exit status 2 if it is wrong.

    What is allowed and almost surely not meant is a warning; so are environment variables and files that are not there:
    they may be there where it will run. And so are certificates of the policy server that it could not use.
    """
    tree, found = examined(configuration)
    absent = list(missing(tree))
    # What is not there has been said.
    unusable = [] if any(line.startswith("server.tls.") for line in absent) else wrong_certificates(found.settings)
    for warning in placed([*absent, *unusable, *warnings(found)], configuration):
        complain(warning, prefix="warning: ")
    say(f"{configuration}: right ({summary(found.settings)})")


def warnings(found: Examined) -> list[str]:
    """What is doubtful about a configuration that is right."""
    return doubts(
        found.settings, {kind for link in found.chain.links for kind in link.policy.provides}, datetime.now(UTC)
    )


def summary(settings: Settings) -> str:
    """What a configuration holds, in a few words."""
    counts = (
        (len(settings.policies), "policy", "policies"),
        (len(settings.upstreams), "upstream", "upstreams"),
        (len(settings.agents), "agent", "agents"),
        (len(settings.opaque), "opaque route", "opaque routes"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)
