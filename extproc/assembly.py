"""From settings to a chain: policies are found by entry point, validated with their own settings, and put in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from pydantic import ValidationError

from extproc.chain import Chain, Link, check_order
from extproc.gate import HOST_PROVIDES
from extproc.policy import FailureMode, Policy, PolicySettings, Surroundings
from extproc.settings import ConfigurationError, PolicyEntry, Settings, describe
from extproc.travel import shared_names

GROUP: Final = "sluicegate.policies"


def installed_policies() -> dict[str, EntryPoint]:
    """Every installed policy by the name under which the configuration may call it."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _contested(name: str) -> list[str]:
    """The distributions that provide this policy, where they are several: which of them would run is nobody's choice."""
    points = {point.value: point for point in entry_points(group=GROUP) if point.name == name}
    return sorted(point.dist.name if point.dist else point.value for point in points.values()) if len(points) > 1 else []


def assemble(settings: Settings, *, clock: Callable[[], float] = time.time) -> Chain:
    """The chain that these settings describe.

    Raises:
        ConfigurationError: with every mistake of every policy.
    """
    surroundings = Surroundings(settings.catalogue(), clock)
    installed = installed_policies()
    links: list[Link] = []
    mistakes: list[str] = []
    for index, entry in enumerate(settings.policies):
        try:
            links.append(_link(entry, f"policies[{index}]", installed, surroundings))
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
    if not mistakes:
        mistakes.extend(f"policies: {mistake}" for mistake in check_order(links, HOST_PROVIDES))
        shared = shared_names(kind for link in links for kind in link.policy.provides)
        mistakes.extend(
            f"policies: two kinds of fact are called {name}: one would be read as the other" for name in shared
        )
    if mistakes:
        raise ConfigurationError(mistakes)
    return Chain(links, timeout=settings.server.decision_timeout)


def _link(entry: PolicyEntry, path: str, installed: dict[str, EntryPoint], surroundings: Surroundings) -> Link:
    policy_class = _load(entry.policy, path, installed)
    if not policy_class.may_fail_open and (entry.failure is FailureMode.OPEN or entry.shadow):
        raise ConfigurationError([f"{path}: {entry.policy} cannot be `failure: open` or `shadow: true`"])
    try:
        settings = policy_class.Settings.model_validate(entry.settings)
    except ValidationError as error:
        raise ConfigurationError(describe(error, f"{path}.settings")) from error
    try:
        policy = policy_class.build(settings, surroundings)
    except ValidationError as error:
        raise ConfigurationError(describe(error, f"{path}.settings")) from error
    except ValueError as error:
        lines = str(error).splitlines() or ["cannot be used"]
        raise ConfigurationError([f"{path}.settings: {line}" for line in lines]) from error
    except Exception as error:
        raise ConfigurationError([f"{path}: {entry.policy} cannot be built: {type(error).__name__}: {error}"]) from error
    return Link(policy, entry.failure, entry.shadow)


def _load(name: str, path: str, installed: dict[str, EntryPoint]) -> type[Policy]:
    point = installed.get(name)
    if point is None:
        known = ", ".join(sorted(installed)) or "none"
        raise ConfigurationError([f"{path}.policy: no policy {name!r} is installed (installed: {known})"])
    if rivals := _contested(name):
        raise ConfigurationError([f"{path}.policy: {name} is provided more than once: {', '.join(rivals)}"])
    try:
        loaded = point.load()
    except Exception as error:
        raise ConfigurationError([f"{path}.policy: {name} cannot be loaded: {type(error).__name__}: {error}"]) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Policy)):
        raise ConfigurationError([f"{path}.policy: {point.value} is not a Policy"])
    if not isinstance(getattr(loaded, "name", None), str):
        raise ConfigurationError([f"{path}.policy: {point.value} has no name"])
    return loaded


def configuration_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration, with the settings of every installed policy."""
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    cases: list[dict[str, Any]] = []
    for name, point in sorted(installed_policies().items()):
        settings: type[PolicySettings] = _load(name, "policies", {name: point}).Settings
        own = settings.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        definitions.update({f"{name}.{key}": value for key, value in own.pop("$defs", {}).items()})
        definitions[f"{name}.settings"] = own
        cases.append(
            {
                "if": {"properties": {"policy": {"const": name}}},
                "then": {"properties": {"settings": {"$ref": f"#/$defs/{name}.settings"}}},
            }
        )
    definitions["PolicyEntry"]["allOf"] = cases
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sluicegate configuration", **schema}
