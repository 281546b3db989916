"""What a configuration says of the journal, as commands read it beside the server. Other sections may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel

from extproc.configured import chosen, entry_of, mapping, read_tree, settled, unsettled, validated
from extproc.mistakes import ConfigurationError

_NAME: Final = "audit"
_Model = TypeVar("_Model", bound=BaseModel)


class Configured(msgspec.Struct, frozen=True):
    """What a configuration says of the audit.

    Attributes:
        folder: where the journals are; as in the server, relative paths count from the working directory.
        settings: of the policy, as they stand there, not validated.
        place: of the settings, for people: `config.yaml: policies[3].settings`.
    """

    folder: Path
    settings: Mapping[str, Any]
    place: str


def read(config: Path | None, folder: Path | None, state: Path) -> Configured:
    """The audit policy of this file, or of the gateway that `sluicegate up` runs with this state directory.

    What the file leaves to `sluicegate up` (`embedded://journal`) is in the state directory.

    Args:
        folder: in place of the configuration: the journals are there, and nothing is configured.

    Raises:
        ConfigurationError: not there, not readable, wrong, or both were given.
    """
    if folder is not None:
        if config is not None:
            raise ConfigurationError(["expected a configuration or --folder, not both"])
        if not folder.is_dir():
            raise ConfigurationError([f"{folder}: no such folder"])
        return Configured(folder, {"journal": {"folder": str(folder)}}, str(folder))
    path = chosen(config, state, otherwise="the configuration, or --folder")
    entry = entry_of(settled(read_tree(path), state), path, _NAME)
    named = mapping(entry.settings.get("journal")).get("folder")
    nowhere = unsettled(named, state)
    if nowhere is not None:
        raise ConfigurationError([f"{entry.place}.journal.folder: {nowhere}"])
    if not isinstance(named, str) or not named:
        raise ConfigurationError([f"{entry.place}.journal.folder: expected the folder of the journals"])
    return Configured(Path(named), entry.settings, entry.place)


def section(configured: Configured, model: type[_Model], name: str, **instead: Any) -> _Model:
    """A section of the settings by its model. `instead`: members that count in place of what stands there.

    Raises:
        ConfigurationError: it is wrong.
    """
    stated = configured.settings.get(name)
    values = {**stated, **instead} if isinstance(stated, Mapping) else stated if stated is not None else instead
    return validated(model, values, f"{configured.place}.{name}")
