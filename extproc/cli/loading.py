"""Configurations for commands that run nothing: stand-ins get addresses that nobody listens on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from extproc.embedded.scheme import EMBEDDED_SCHEME, embedded_names, resolve_embedded
from extproc.settings import ConfigurationError, Settings, parse, read_tree

Configuration = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a YAML file.")]
OptionalConfiguration = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="The configuration; a demo if left out.", show_default=False)
]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Where keys, logs and data are kept.")]
DEFAULT_STATE: Final = Path(".sluicegate")

NOWHERE: Final = {
    "identity": "http://127.0.0.1:9001",
    "simulator": "http://127.0.0.1:9002",
    "valkey": "unix:///tmp/sluicegate/valkey.sock",
}


def read_resolved(path: Path, addresses: Mapping[str, str] = NOWHERE) -> dict[str, Any]:
    """The tree of a file, with an address for everything that `sluicegate up` would start.

    Raises:
        ConfigurationError: not readable, or it names a stand-in that there is not.
    """
    tree: dict[str, Any] = resolve_embedded(read_tree(path), addresses)
    return tree


def read_for_serving(path: Path) -> Settings:
    """The settings of a file that has to stand on its own.

    Raises:
        ConfigurationError: it does not, or it is wrong.
    """
    tree = read_tree(path)
    names = sorted(embedded_names(tree))
    if names:
        raise ConfigurationError([f"{EMBEDDED_SCHEME}{name}: only `sluicegate up` starts this" for name in names])
    return parse(tree)
