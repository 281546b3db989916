"""`sluicegate render`: Envoy's configuration, for reading or for an Envoy of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import yaml

from extproc.cli.loading import Workers, located, read_resolved
from extproc.printing import show_text

if TYPE_CHECKING:
    from extproc.settings import Settings

_PROFILES: Final = ("plain", "ai-gateway")
_DEFAULT_ADMIN: Final = "127.0.0.1:9901"
_OPTIONS: Final = {
    "name": "--name",
    "namespace": "--namespace",
    "policy_service": "--service",
    "envoy_version": "--envoy-version",
}


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[PROFILE] CONFIG",
            help="The configuration, a YAML file; before it `plain` or `ai-gateway`, if it is not `server.profile`'s.",
        ),
    ],
    *,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help=f"plain: Envoy's admin listener, host:port or unix:/path. By default {_DEFAULT_ADMIN}.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="plain, with `server.tls`: write two files there, by which Envoy takes new certificates while it runs.",
            show_default=False,
        ),
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="ai-gateway: for `aigw run` on this machine, not for a cluster.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="ai-gateway: what the Gateway and all else is called.", show_default=False)
    ] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="ai-gateway.", show_default=False)] = None,
    service: Annotated[
        str | None, typer.Option(help="ai-gateway: the policy server's Service.", show_default=False)
    ] = None,
    envoy_version: Annotated[
        str | None,
        typer.Option(help="ai-gateway --standalone: the Envoy that `aigw` is to run.", show_default=False),
    ] = None,
) -> None:
    """Print Envoy's configuration: its bootstrap, or the resources of Envoy Gateway and Envoy AI Gateway.

    What `sluicegate up` would start itself gets an address that nobody listens on.
    """
    from extproc.settings import parse

    asked, configuration = _understood(words)
    named = {"name": name, "namespace": namespace, "policy_service": service, "envoy_version": envoy_version}
    with located(configuration):
        settings = parse(read_resolved(configuration, workers=workers))
        profile = asked or settings.server.profile
        if profile == "plain":
            others = {_OPTIONS[key]: value for key, value in named.items()}
            _refuse("ai-gateway", {"--standalone": standalone or None, **others})
            show_text(_plain(settings, admin or _DEFAULT_ADMIN, secrets))
        else:
            _refuse("plain", {"--admin": admin, "--secrets": secrets})
            show_text(_ai_gateway(settings, standalone, named))


def _understood(words: Sequence[str]) -> tuple[str | None, Path]:
    """The profile, where one is named, and the configuration."""
    *before, last = words
    if not before:
        if last in _PROFILES and not Path(last).exists():
            raise typer.BadParameter(f"expected a configuration after {last}", param_hint="CONFIG")
        return None, Path(last)
    if len(before) > 1 or before[0] not in _PROFILES:
        raise typer.BadParameter(
            f"expected {' or '.join(_PROFILES)} before the configuration, not {' '.join(before)}", param_hint="PROFILE"
        )
    return before[0], Path(last)


def _refuse(owner: str, options: Mapping[str, object]) -> None:
    """Refuse the options that are given although they belong to another profile."""
    for option, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"this is for the profile {owner}", param_hint=option)


def _plain(settings: Settings, admin: str, secrets: Path | None) -> str:
    from extproc.envoy_profile import bootstrap
    from extproc.envoy_tls import secret_files

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
    return _yaml(bootstrap(settings, admin=admin, secret_directory=secrets))


def _ai_gateway(settings: Settings, standalone: bool, named: Mapping[str, str | None]) -> str:
    from extproc.ai_gateway.notes import notes
    from extproc.ai_gateway.resources import Options, resources
    from extproc.ai_gateway.writing import written

    options = Options(**{key: value for key, value in named.items() if value is not None})
    documents = resources(settings, standalone=standalone, options=options)
    return written(documents, standalone=standalone, notes=notes(settings, options, standalone=standalone))


def _yaml(tree: Any) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    return text.rstrip() + "\n"
