"""The limits of a configuration file, as commands read them beside the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from extproc.configured import EMBEDDED, chosen, entry_of, mapping, read_tree, running, validated
from extproc.mistakes import ConfigurationError
from policies.limits.settings import LimitsSettings

_NAME: Final = "limits"


class Configured(msgspec.Struct, frozen=True):
    """What a configuration says of limits.

    Attributes:
        shadow: none of them is enforced.
    """

    settings: LimitsSettings
    shadow: bool = False


def read(config: Path | None, state: Path) -> Configured:
    """The limits of this file, or of the gateway that `sluicegate up` runs with this state directory.

    What the file leaves to `sluicegate up` (`embedded://valkey`) is where the state directory says.

    Raises:
        ConfigurationError: not there, not readable, or wrong.
    """
    path = chosen(config, state)
    tree = read_tree(path)
    entry = entry_of(tree, path, _NAME)
    settings = dict(entry.settings)
    url = str(mapping(settings.get("redis")).get("url", ""))
    if url.startswith(EMBEDDED):
        settings["redis"] = _of_running(running(state), url, path)
    return Configured(validated(LimitsSettings, settings, entry.place), entry.shadow)


def _of_running(run: Path, url: str, path: Path) -> Any:
    """The section `redis` of the gateway that runs."""
    if not run.exists():
        raise ConfigurationError(
            [f"{path}: {url}: only `sluicegate up` starts this, and {run} is not there: give its --state"]
        )
    return entry_of(read_tree(run), run, _NAME).settings.get("redis")
