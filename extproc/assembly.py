"""From settings to a chain: policies are found by entry point, validated with their own settings, and put in order."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import orjson
from pydantic import ValidationError

from extproc.catalogue import Catalogue
from extproc.chain import Chain, Link
from extproc.gate import HOST_PROVIDES
from extproc.mistakes import ConfigurationError, describe, hint
from extproc.order import check_order
from extproc.policy import FailureMode, Policy, PolicySettings, Surroundings
from extproc.price_list import PriceListError
from extproc.response_fields import is_free
from extproc.settings import PolicyEntry, Settings, parse
from extproc.travel import shared_names

GROUP: Final = "sluicegate.policies"
_MARGIN: Final = 5.0
"""Seconds from an exchange's last byte to its settlement, and for clocks that differ."""


def installed_policies() -> dict[str, EntryPoint]:
    """Every installed policy by the name under which the configuration may call it."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _contested(name: str) -> list[str]:
    """The distributions that provide this policy, where they are several: which of them would run is nobody's choice."""
    points = {point.value: point for point in entry_points(group=GROUP) if point.name == name}
    return sorted(point.dist.name if point.dist else point.value for point in points.values()) if len(points) > 1 else []


@dataclass(frozen=True, slots=True)
class Examined:
    """A configuration that is right."""

    settings: Settings
    chain: Chain


def examine(tree: Any, *, clock: Callable[[], float] = time.time) -> Examined:
    """The settings and the chain of a tree.

    Raises:
        ConfigurationError: with every mistake that can be known. What depends on a part that is wrong is not looked at:
            the error says then that there may be more.
    """
    settings, mistakes = None, []
    try:
        settings = parse(tree)
    except ConfigurationError as error:
        mistakes = error.mistakes
    catalogue = settings.catalogue() if settings is not None else _catalogue(tree)
    if not isinstance(tree, Mapping) or not isinstance(tree.get("policies"), list | tuple):
        raise ConfigurationError(mistakes, more=True)
    # Where something else is wrong, what a policy is told of it does not matter: it never serves.
    around = Surroundings(catalogue or Catalogue(), clock) if settings is None else surroundings(settings, clock)
    build = _Build(around, may_build=catalogue is not None, mistakes=mistakes)
    for index, entry in enumerate(tree["policies"]):
        try:
            build.add(PolicyEntry.model_validate(entry), f"policies[{index}]")
        except ValidationError:
            # Reported with the structure: it is the same entry.
            build.strangers = build.more = True
    build.check()
    if mistakes or settings is None:
        raise ConfigurationError(mistakes, more=build.more)
    return Examined(settings, Chain(build.links, timeout=settings.server.decision_timeout, metrics=around.metrics))


def assemble(settings: Settings, *, clock: Callable[[], float] = time.time) -> Chain:
    """The chain that these settings describe.

    Raises:
        ConfigurationError: with every mistake of every policy.
    """
    around = surroundings(settings, clock)
    build = _Build(around, may_build=True, mistakes=[])
    for index, entry in enumerate(settings.policies):
        build.add(entry, f"policies[{index}]")
    build.check()
    if build.mistakes:
        raise ConfigurationError(build.mistakes, more=build.more)
    return Chain(build.links, timeout=settings.server.decision_timeout, metrics=around.metrics)


def surroundings(settings: Settings, clock: Callable[[], float] = time.time) -> Surroundings:
    """What these settings give to every policy alike.

    Raises:
        ConfigurationError: the list of prices is needed, and cannot be read.
    """
    server = settings.server
    _read_prices(settings)
    longest = settings.timeouts.total + server.decision_timeout + _MARGIN
    known = orjson.dumps(settings.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    configuration = hashlib.sha256(known).hexdigest()
    return Surroundings(settings.catalogue(), clock, workers=server.workers, longest=longest, configuration=configuration)


def _read_prices(settings: Settings) -> None:
    """See to it that no exchange has to wait until the list is read: no model that has a price needs it."""
    if settings.prices.list == "none" or all(m.price is not None for one in settings.upstreams for m in one.models):
        return
    try:
        settings.prices.price_list().load()
    except PriceListError as error:
        raise ConfigurationError([f"prices: {error}"]) from error


def response_fields(settings: Settings) -> tuple[str, ...]:
    """The header fields that the configured policies may add to answers, each once.

    Of those that are installed: Envoy's configuration can be rendered where a policy is missing, and `assemble` says so.
    """
    installed = installed_policies()
    names: dict[str, None] = {}
    for index, entry in enumerate(settings.policies):
        try:
            policy_class = _load(entry.policy, f"policies[{index}]", installed)
        except ConfigurationError:
            continue
        names.update(dict.fromkeys(filter(is_free, policy_class.response_fields)))
    return tuple(names)


def companions_of(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """The commands that the configured policies want to run beside the gateway, each once."""
    installed = installed_policies()
    classes = [_load(entry.policy, "policies", installed) for entry in settings.policies]
    return tuple(dict.fromkeys(policy_class.companion for policy_class in classes if policy_class.companion))


def _catalogue(tree: Mapping[str, Any]) -> Catalogue | None:
    """The catalogue of a tree in which something else may be wrong; None if it is wrong itself."""
    sections = ("upstreams", "agents", "opaque")
    try:
        return parse(
            {**{name: tree[name] for name in sections if name in tree}, "policies": [{"policy": "p"}]}
        ).catalogue()
    except (ConfigurationError, TypeError):
        return None


@dataclass(slots=True)
class _Build:
    """A chain in the making, and what is wrong with it.

    Attributes:
        may_build: whether the catalogue is known, without which no policy is built.
        strangers: whether there are policies of which not even the class is known.
        more: whether something could not be looked at.
    """

    surroundings: Surroundings
    may_build: bool
    mistakes: list[str]
    links: list[Link] = field(default_factory=list)
    classes: list[type[Policy]] = field(default_factory=list)
    strangers: bool = False
    more: bool = False

    def add(self, entry: PolicyEntry, path: str) -> None:
        """Put a policy at the end of the chain, or say why not."""
        try:
            policy_class = _load(entry.policy, path, installed_policies())
        except ConfigurationError as error:
            self.mistakes.extend(error.mistakes)
            self.strangers = self.more = True
            return
        if policy_class not in self.classes:
            self.classes.append(policy_class)
        if not policy_class.may_fail_open and (entry.failure is FailureMode.OPEN or entry.shadow):
            self.mistakes.append(f"{path}: {entry.policy} cannot be `failure: open` or `shadow: true`")
        if taken := [name for name in policy_class.response_fields if not is_free(name)]:
            self.mistakes.append(f"{path}: {entry.policy} declares a response field that no policy may add: {taken[0]}")
            self.more = True
            return
        try:
            settings = policy_class.Settings.model_validate(entry.settings)
        except ValidationError as error:
            self.mistakes.extend(describe(error, policy_class.Settings, f"{path}.settings"))
            self.more = True
            return
        if not self.may_build:
            self.more = True
            return
        around = replace(self.surroundings, shadow=entry.shadow)
        try:
            self.links.append(Link(_built(policy_class, entry, settings, around, path), entry.failure, entry.shadow))
        except ConfigurationError as error:
            self.mistakes.extend(error.mistakes)

    def check(self) -> None:
        """The order, once every class is known: what a policy needs and provides depends on nothing else."""
        if self.strangers:
            return
        order = check_order(self.classes, HOST_PROVIDES)
        self.mistakes.extend(f"policies: {mistake}" for mistake in order)
        self.mistakes.extend(
            f"policies: two kinds of fact are called {name}: one would be read as the other"
            for name in shared_names(kind for policy_class in self.classes for kind in policy_class.provides)
        )


def _built(
    policy_class: type[Policy], entry: PolicyEntry, settings: PolicySettings, surroundings: Surroundings, path: str
) -> Policy:
    try:
        return policy_class.build(settings, surroundings)
    except ValidationError as error:
        raise ConfigurationError(describe(error, policy_class.Settings, f"{path}.settings")) from error
    except ValueError as error:
        keys = policy_class.Settings.model_fields
        lines = str(error).splitlines() or ["cannot be used"]
        raise ConfigurationError([f"{path}.settings{_beside(line, keys)}{line}" for line in lines]) from error
    except Exception as error:
        raise ConfigurationError([f"{path}: {entry.policy} cannot be built: {type(error).__name__}: {error}"]) from error


def _beside(line: str, keys: Iterable[str]) -> str:
    """What stands between the path of the settings and a line: a line may begin with a path of its own."""
    first = re.match(r"([a-z0-9_]+)[.\[:]", line)
    return "." if first and first[1] in keys else ": "


def _load(name: str, path: str, installed: dict[str, EntryPoint]) -> type[Policy]:
    point = installed.get(name)
    if point is None:
        known = ", ".join(sorted(installed)) or "none"
        meant = hint(name, installed)
        raise ConfigurationError([f"{path}.policy: no policy {name!r} is installed{meant or f' (installed: {known})'}"])
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
