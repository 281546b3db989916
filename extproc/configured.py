"""What stands in a configuration file, for commands beside the server: the tree, and the entry of one policy.

Nothing else of it need be right: whoever asks what is on record is not kept from it by a mistake in a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from extproc.mistakes import ConfigurationError, join
from extproc.strict_yaml import YamlError, read

EMBEDDED: Final = "embedded://"
"""Before the name of what `sluicegate up` brings."""
_Model = TypeVar("_Model", bound=BaseModel)


class Entry(msgspec.Struct, frozen=True):
    """A policy's entry in a configuration.

    Attributes:
        settings: as they stand there, not validated; empty where they are no mapping.
        place: of the settings, for people: `gateway.yaml: policies[3].settings`.
    """

    settings: Mapping[str, Any]
    place: str
    shadow: bool = False


def running(state: Path) -> Path:
    """The configuration of the gateway that `sluicegate up` runs with this state directory."""
    return state / "run" / "config.yaml"


def kept(state: Path) -> dict[str, str]:
    """What `sluicegate up` keeps in this state directory, by the names that stand behind `embedded://`."""
    folder = state.resolve()
    return {"journal": f"{folder / 'journal'}", "ledger": f"sqlite:///{folder / 'ledger.sqlite'}"}


def settled(tree: Any, state: Path) -> Any:
    """The tree with the addresses of what `sluicegate up` keeps in this state directory. As it is where it never ran."""
    return _with(tree, kept(state)) if running(state).exists() else tree


def _with(tree: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _with(value, addresses) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with(value, addresses) for value in tree]
    if isinstance(tree, str) and tree.startswith(EMBEDDED):
        name, slash, rest = tree.removeprefix(EMBEDDED).partition("/")
        return addresses[name] + slash + rest if name in addresses else tree
    return tree


def unsettled(value: object, state: Path) -> str | None:
    """Why this setting says of no place where it is; None if it does, or is no setting of that kind."""
    if not isinstance(value, str) or not value.startswith(EMBEDDED):
        return None
    name = value.removeprefix(EMBEDDED).partition("/")[0]
    if name not in kept(state):
        return f"{value}: `sluicegate up` keeps only {', '.join(sorted(kept(state)))} in its state directory"
    return f"{value}: it is in the state directory of `sluicegate up`, which has not run with {state}: give its --state"


def chosen(config: Path | None, state: Path, *, otherwise: str = "or the configuration") -> Path:
    """The file that is meant: the one that was named, else that of the gateway that runs.

    Args:
        otherwise: what else a person can give than `--state`, for the message.

    Raises:
        ConfigurationError: none was named, and none runs.
    """
    if config is not None:
        return config
    path = running(state)
    if not path.exists():
        raise ConfigurationError([f"{path}: not there. `sluicegate up` writes it: give its --state, {otherwise}"])
    return path


def read_tree(path: Path) -> dict[str, Any]:
    """The YAML file as a tree, not yet validated.

    Raises:
        ConfigurationError: unreadable, not strict YAML (see `extproc.strict_yaml`), or not a mapping.
    """
    try:
        tree = read(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8"]) from error
    except YamlError as error:
        raise ConfigurationError([f"{path}: {error}"]) from error
    if not isinstance(tree, dict):
        raise ConfigurationError([f"{path}: expected a mapping of sections"])
    return tree


def entry_of(tree: Mapping[str, Any], path: Path, policy: str) -> Entry:
    """The entry of this policy in a configuration that was read from `path`.

    Raises:
        ConfigurationError: it is not among the policies.
    """
    for index, entry in enumerate(items(tree.get("policies"))):
        if mapping(entry).get("policy") == policy:
            place = f"{path}: policies[{index}].settings"
            return Entry(mapping(entry.get("settings")), place, bool(entry.get("shadow", False)))
    raise ConfigurationError([f"{path}: policies: `{policy}` is not among them"])


def validated(model: type[_Model], values: Any, place: str) -> _Model:
    """`values`, which stand at `place`, by their model.

    Raises:
        ConfigurationError: they are wrong. What stood there is not told: it may be a password.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise ConfigurationError([f"{join(place, one['loc'])}: {one['msg']}" for one in told]) from None


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
