"""`sluicegate render`: Envoy's configuration, for reading or for an Envoy of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from extproc.cli.loading import Configuration, Workers, read_resolved
from extproc.printing import show_text


def command(
    configuration: Configuration,
    admin: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Envoy's admin listener: host:port or unix:/path.")
    ] = "127.0.0.1:9901",
    workers: Workers = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With `server.tls`: write two files there, by which Envoy takes new certificates without a restart.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the Envoy bootstrap of a configuration as YAML.

    What `sluicegate up` would start itself gets an address that nobody listens on.
    """
    from extproc.envoy_profile import bootstrap
    from extproc.envoy_tls import secret_files
    from extproc.settings import parse

    settings = parse(read_resolved(configuration, workers=workers))
    if secrets is not None:
        if settings.server.tls is None:
            raise typer.BadParameter("the configuration has no `server.tls`", param_hint="--secrets")
        secrets = secrets.absolute()
        try:
            secrets.mkdir(parents=True, exist_ok=True)
            for name, held in secret_files(settings).items():
                (secrets / name).write_text(_yaml(held), "utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{secrets}: {error.strerror}", param_hint="--secrets") from error
    show_text(_yaml(bootstrap(settings, admin=admin, secret_directory=secrets)))


def _yaml(tree: Any) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    return text.rstrip() + "\n"
