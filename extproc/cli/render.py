"""`sluicegate render`: Envoy's configuration, for reading or for an Envoy of one's own."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from extproc.cli.console import say
from extproc.cli.loading import Configuration, Workers, read_resolved


def command(
    configuration: Configuration,
    admin: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Envoy's admin listener: host:port or unix:/path.")
    ] = "127.0.0.1:9901",
    workers: Workers = None,
) -> None:
    """Print the Envoy bootstrap of a configuration as YAML.

    What `sluicegate up` would start itself gets an address that nobody listens on.
    """
    from extproc.envoy_profile import bootstrap
    from extproc.settings import parse

    settings = parse(read_resolved(configuration, workers=workers))
    say(yaml.safe_dump(bootstrap(settings, admin=admin), sort_keys=False, allow_unicode=True).rstrip())
