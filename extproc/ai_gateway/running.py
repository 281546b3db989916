"""How `aigw` is run on this machine: with resources of ours, an Envoy that is here already, and nothing downloaded.

`aigw run` takes its ports as they come (1061, 1064, 9856, 10088, 18000 to 18002, 8081, 19000 to 19003): one of it runs in
a network namespace. It starts Envoy itself, from where it would have downloaded it to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from extproc.embedded.state import make_private, write_private

ENVIRONMENT: Final = "SLUICEGATE_AIGW"
"""Names the binary where `--aigw` does not."""
PORTS: Final = (1061, 1064, 8081, 9856, 10088, 18000, 18001, 18002, 19000, 19001, 19002, 19003)
"""TCP ports that `aigw` listens on beside those of its Gateway."""
_LISTENING: Final = re.compile(rb"listening on http://localhost:\d+ \(admin http://localhost:(\d+)\)")


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start: a program, and what its environment is to hold beside what is there."""

    program: tuple[str, ...]
    environment: Mapping[str, str]


def launch(
    binary: Path, documents: Sequence[Mapping[str, Any]], *, folder: Path, sockets: Path, envoy: Path, version: str
) -> Launch:
    """How to run `binary` with these documents. Writes what it reads to `folder`, which only the owner can enter.

    Args:
        sockets: a short path, for a unix socket.
        envoy: the binary to run as Envoy, of `version`, which the documents name too.

    Raises:
        StackError: the folder cannot be written.
    """
    place = folder / "data" / "envoy-versions" / version / "bin" / "envoy"
    for directory in (folder / "home", place.parent):
        make_private(directory)
    place.unlink(missing_ok=True)
    place.symlink_to(envoy.resolve())
    path = folder / "resources.yaml"
    write_private(path, yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True))
    environment = {
        # It keeps certificates below its home.
        "HOME": str(folder / "home"),
        "AIGW_CONFIG_HOME": str(folder / "config"),
        "AIGW_DATA_HOME": str(folder / "data"),
        "AIGW_STATE_HOME": str(folder / "state"),
        "AIGW_RUNTIME_DIR": str(sockets / "aigw"),
    }
    return Launch((str(binary), "run", "--run-id", "0", str(path)), environment)


def admin_port(log: bytes) -> int | None:
    """Envoy's admin port, as `aigw` says it once Envoy listens; None before."""
    found = _LISTENING.search(log)
    return int(found[1]) if found else None
