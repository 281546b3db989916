"""The limits of a configuration file, as commands read them beside the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from pydantic import ValidationError

from policies.limits.settings import LimitsSettings

_EMBEDDED: Final = "embedded://"
_NAME: Final = "limits"


class ConfiguredError(ValueError):
    """The configuration cannot be used. `mistakes` are lines for people."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Configured(msgspec.Struct, frozen=True):
    """What a configuration says of limits.

    Attributes:
        shadow: none of them is enforced.
        unpriced: models without a price, as `upstream/model`: no budget of dollars can be counted for them.
    """

    settings: LimitsSettings
    shadow: bool = False
    unpriced: tuple[str, ...] = ()


def read(config: Path | None, state: Path) -> Configured:
    """The limits of this file, or of the gateway that `sluicegate up` runs with this state directory.

    What the file leaves to `sluicegate up` (`embedded://valkey`) is where the state directory says.

    Raises:
        ConfiguredError: not there, not readable, or wrong.
    """
    run = state / "run" / "config.yaml"
    if config is None and not run.exists():
        raise ConfiguredError(
            [f"{run}: not there. `sluicegate up` writes it: give its --state, or the configuration with --config"]
        )
    path = config or run
    tree = _tree(path)
    index, entry = _entry(tree, path)
    settings = dict(_mapping(entry.get("settings")))
    if _url(settings).startswith(_EMBEDDED):
        settings["redis"] = _running(run, _url(settings), path)
    try:
        parsed = LimitsSettings.model_validate(settings)
    except ValidationError as error:
        where = f"{path}: policies[{index}].settings"
        # What stood there is not told: it may be a password.
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise ConfiguredError([f"{where}{_place(one['loc'])}: {one['msg']}" for one in told]) from None
    return Configured(parsed, bool(entry.get("shadow", False)), tuple(_unpriced(tree)))


def _tree(path: Path) -> Mapping[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfiguredError([f"{path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfiguredError([f"{path}: not UTF-8"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfiguredError([f"{path}{f':{mark.line + 1}' if mark is not None else ''}: no YAML"]) from error
    if not isinstance(tree, Mapping):
        raise ConfiguredError([f"{path}: expected a mapping of sections"])
    return tree


def _entry(tree: Mapping[str, Any], path: Path) -> tuple[int, Mapping[str, Any]]:
    """The entry of the limits among the policies, and its place."""
    entries = tree.get("policies")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping) and entry.get("policy") == _NAME:
            return index, entry
    raise ConfiguredError([f"{path}: policies: `{_NAME}` is not among them"])


def _running(run: Path, url: str, path: Path) -> Any:
    """The section `redis` of the gateway that runs."""
    if not run.exists():
        raise ConfiguredError(
            [f"{path}: {url}: only `sluicegate up` starts this, and {run} is not there: give its --state"]
        )
    _, entry = _entry(_tree(run), run)
    return _mapping(entry.get("settings")).get("redis")


def _url(settings: Mapping[str, Any]) -> str:
    return str(_mapping(settings.get("redis")).get("url", ""))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _unpriced(tree: Mapping[str, Any]) -> Iterator[str]:
    upstreams = tree.get("upstreams")
    for upstream in upstreams if isinstance(upstreams, list) else ():
        models = _mapping(upstream).get("models")
        for model in models if isinstance(models, list) else ():
            if not isinstance(model, Mapping) or model.get("price") is None:
                name = model.get("name") if isinstance(model, Mapping) else model
                yield f"{_mapping(upstream).get('name')}/{name}"
