"""What a configuration says of the journal, as commands read it beside the server. Other sections may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from pydantic import BaseModel, ValidationError

_NAME: Final = "audit"


class ConfiguredError(ValueError):
    """The configuration cannot be used. `mistakes` are lines for people."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


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

    Args:
        folder: in place of the configuration: the journals are there, and nothing is configured.

    Raises:
        ConfiguredError: not there, not readable, wrong, or both were given.
    """
    if folder is not None:
        if config is not None:
            raise ConfiguredError(["expected a configuration or --folder, not both"])
        if not folder.is_dir():
            raise ConfiguredError([f"{folder}: no such folder"])
        return Configured(folder, {"journal": {"folder": str(folder)}}, str(folder))
    run = state / "run" / "config.yaml"
    if config is None and not run.exists():
        raise ConfiguredError(
            [f"{run}: not there. `sluicegate up` writes it: give its --state, the configuration, or --folder"]
        )
    path = config or run
    index, entry = _entry(tree_of(path), path)
    settings = entry.get("settings")
    place = f"{path}: policies[{index}].settings"
    where = settings.get("journal") if isinstance(settings, Mapping) else None
    named = where.get("folder") if isinstance(where, Mapping) else None
    if not isinstance(settings, Mapping) or not isinstance(named, str) or not named:
        raise ConfiguredError([f"{place}.journal.folder: expected the folder of the journals"])
    return Configured(Path(named), settings, place)


def section(configured: Configured, model: type[BaseModel], name: str, **instead: Any) -> Any:
    """A section of the settings by its model. `instead`: members that count in place of what stands there.

    Raises:
        ConfiguredError: it is wrong. What stood there is not told: it may be a password.
    """
    stated = configured.settings.get(name)
    values = {**stated, **instead} if isinstance(stated, Mapping) else stated if stated is not None else instead
    return validated(model, values, f"{configured.place}.{name}")


def validated(model: type[BaseModel], values: Any, place: str) -> Any:
    """`values` by their model.

    Raises:
        ConfiguredError: they are wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise ConfiguredError([f"{place}{within(one['loc'])}: {one['msg']}" for one in told]) from None


def tree_of(path: Path) -> Mapping[str, Any]:
    """What stands in a configuration file.

    Raises:
        ConfiguredError: it cannot be read, or is no mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfiguredError([f"{path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfiguredError([f"{path}: not UTF-8"]) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfiguredError([f"{path}{f':{mark.line + 1}' if mark is not None else ''}: no YAML"]) from error
    if not isinstance(tree, Mapping):
        raise ConfiguredError([f"{path}: expected a mapping of sections"])
    return tree


def _entry(tree: Mapping[str, Any], path: Path) -> tuple[int, Mapping[str, Any]]:
    """The entry of the audit among the policies, and its place."""
    entries = tree.get("policies")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping) and entry.get("policy") == _NAME:
            return index, entry
    raise ConfiguredError([f"{path}: policies: `{_NAME}` is not among them"])


def within(parts: tuple[int | str, ...]) -> str:
    """The place of a value, as it stands behind that of the section: `.sinks[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
