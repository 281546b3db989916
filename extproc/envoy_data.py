"""Envoy's configuration as data: where it lies, and how values get into it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

_OMIT: Final = object()


def data_directory() -> Path:
    """Where Envoy's configuration lies: beside the package in a source tree, inside it when installed."""
    package = Path(__file__).parent
    source = package.parent / "envoy"
    return source if (source / "plain.yaml").exists() else package / "_envoy"


@cache
def load(name: str) -> dict[str, Any]:
    """The YAML file of this name. Shared: not to be changed."""
    loaded: dict[str, Any] = yaml.safe_load((data_directory() / name).read_text("utf-8"))
    return loaded


def piece(name: str, **values: Any) -> Any:
    """The part of the plain profile of this name, filled in."""
    return fill(load("plain.yaml")[name], values)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A copy of `template` in which every string `$name` is replaced by its value. A value of None leaves the member out.

    Raises:
        KeyError: a name without a value.
    """
    if isinstance(template, dict):
        filled = {key: fill(value, values) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not _OMIT}
    if isinstance(template, list):
        return [value for item in template if (value := fill(item, values)) is not _OMIT]
    if isinstance(template, str) and template.startswith("$"):
        value = values[template[1:]]
        return _OMIT if value is None else value
    return template
