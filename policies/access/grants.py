"""Settings compiled once into what a decision looks up: for one kind of caller with these roles and groups, everything
that is allowed, arranged by operation, agent and opaque route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from extproc.call import Operation
from extproc.catalogue import Catalogue
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.access.globs import Names, Paths, is_glob
from policies.access.settings import (
    EVERY_PERMISSION,
    AccessSettings,
    Assignment,
    Permission,
    RouteRule,
    did_you_mean,
)

_REMEMBERED: Final = 1024
"""How many different sets of roles and groups are kept compiled."""
_NO_GROUPS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class RouteGrant:
    """One way in: these methods on these paths of an agent or opaque route; None means all of them."""

    methods: frozenset[str] | None
    paths: Paths | None

    def covers(self, method: str, path: str) -> bool:
        return (self.methods is None or method in self.methods) and (self.paths is None or path in self.paths)


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission, compiled. `upstreams` is None where it may reach all of them; `ceiling` where there is none."""

    permission: str
    operations: frozenset[Operation]
    models: Names
    upstreams: frozenset[str] | None
    ceiling: int | None
    hosted_tools: Names
    agents: Mapping[str, tuple[RouteGrant, ...]]
    opaque: Mapping[str, tuple[RouteGrant, ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """A permission that a caller has, and through which role or group."""

    grant: Grant
    through: str

    def __str__(self) -> str:
        return f"permission {self.grant.permission} through {self.through}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that callers of one kind with the same roles and groups may do.

    Attributes:
        through: the roles and groups that count.
        idle: roles and groups that they have too, but that count only for the other kind of caller.
    """

    operations: Mapping[Operation, tuple[Held, ...]]
    agents: Mapping[str, tuple[tuple[RouteGrant, Held], ...]]
    opaque: Mapping[str, tuple[tuple[RouteGrant, Held], ...]]
    through: tuple[str, ...]
    idle: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Assigned:
    label: str
    callers: frozenset[CallerKind]
    grants: tuple[Grant, ...]


@dataclass(slots=True)
class Grants:
    """The decision structure. Immutable but for a bounded memory of holdings that were compiled before."""

    catalogue: Catalogue
    scopes: frozenset[str]
    roles: Mapping[str, _Assigned]
    groups: Mapping[str, _Assigned]
    _group_ids: frozenset[str] = field(init=False)
    _memory: dict[tuple[CallerKind, frozenset[str], frozenset[str]], Holdings] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._group_ids = frozenset(self.groups)

    def holdings(self, identity: Identity) -> Holdings:
        """What is known to be granted to this caller: unknown groups grant nothing."""
        groups = identity.groups & self._group_ids if identity.groups_known else _NO_GROUPS
        return self._remembered(identity.kind, identity.roles, groups)

    def best_case(self, identity: Identity) -> Holdings:
        """What would be granted to this caller as a member of every configured group."""
        return self._remembered(identity.kind, identity.roles, self._group_ids)

    def upstream_of(self, dialect: Dialect, model: str) -> str | None:
        """The name of the upstream that would serve this model."""
        found = self.catalogue.find(dialect, model)
        return found[0].name if found else None

    def _remembered(self, kind: CallerKind, roles: frozenset[str], groups: frozenset[str]) -> Holdings:
        key = (kind, roles, groups)
        known = self._memory.get(key)
        if known is None:
            while len(self._memory) >= _REMEMBERED:
                del self._memory[next(iter(self._memory))]
            assigned = [entry for name, entry in self.roles.items() if name in roles]
            assigned += [entry for name, entry in self.groups.items() if name in groups]
            known = self._memory[key] = _arrange(assigned, kind)
        return known


def _arrange(assigned: Iterable[_Assigned], kind: CallerKind) -> Holdings:
    held: dict[str, Held] = {}
    through, idle = [], []
    for entry in assigned:
        if kind not in entry.callers:
            idle.append(entry.label)
            continue
        through.append(entry.label)
        for grant in entry.grants:
            held.setdefault(grant.permission, Held(grant, entry.label))
    operations: dict[Operation, list[Held]] = {}
    agents: dict[str, list[tuple[RouteGrant, Held]]] = {}
    opaque: dict[str, list[tuple[RouteGrant, Held]]] = {}
    for one in held.values():
        for operation in one.grant.operations:
            operations.setdefault(operation, []).append(one)
        for table, granted in ((agents, one.grant.agents), (opaque, one.grant.opaque)):
            for name, ways in granted.items():
                table.setdefault(name, []).extend((way, one) for way in ways)
    return Holdings(
        operations={operation: tuple(entries) for operation, entries in operations.items()},
        agents={name: tuple(entries) for name, entries in agents.items()},
        opaque={name: tuple(entries) for name, entries in opaque.items()},
        through=tuple(through),
        idle=tuple(idle),
    )


def compile_grants(settings: AccessSettings, catalogue: Catalogue) -> Grants:
    """The decision structure for these settings.

    Raises:
        ValueError: a role or group names a permission that is not there, or a permission an agent, an upstream or an
            opaque route that is not in the catalogue. The message has a line for every such mistake, with its path.
    """
    mistakes: list[str] = []
    grants = {name: _compile(name, permission, catalogue, mistakes) for name, permission in settings.permissions.items()}
    roles = {name: _assign("role", name, entry, grants, mistakes) for name, entry in settings.roles.items()}
    groups = {name: _assign("group", name, entry, grants, mistakes) for name, entry in settings.groups.items()}
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return Grants(catalogue, frozenset(settings.scopes), roles, groups)


def _assign(kind: str, name: str, assignment: Assignment, grants: Mapping[str, Grant], mistakes: list[str]) -> _Assigned:
    for permission in assignment.permissions:
        if permission != EVERY_PERMISSION and permission not in grants:
            hint = did_you_mean(permission, grants)
            mistakes.append(f"{kind}s.{name}: there is no permission {permission!r}{hint}")
    named = grants if EVERY_PERMISSION in assignment.permissions else assignment.permissions
    return _Assigned(
        f"{kind} {name}", assignment.callers, tuple(grants[permission] for permission in named if permission in grants)
    )


def _compile(name: str, permission: Permission, catalogue: Catalogue, mistakes: list[str]) -> Grant:
    where = f"permissions.{name}"
    upstreams: frozenset[str] | None = None
    if permission.upstreams is not None:
        known = [upstream.name for upstream in catalogue.upstreams]
        upstreams = frozenset(
            found
            for position, pattern in enumerate(permission.upstreams)
            for found in _expand(pattern, known, f"{where}.upstreams[{position}]", "upstream", mistakes)
        )
    agents = [agent.name for agent in catalogue.agents]
    routes = [route.name for route in catalogue.opaque if upstreams is None or route.upstream in upstreams]
    routes_kind = "opaque route" if upstreams is None else "opaque route of these upstreams"
    operations = {Operation(operation) for operation in permission.operations}
    if Operation.MODELS in operations:
        operations.add(Operation.MODEL)
    return Grant(
        permission=name,
        operations=frozenset(operations),
        models=Names(permission.models),
        upstreams=upstreams,
        ceiling=permission.max_output_tokens,
        hosted_tools=Names(permission.hosted_tools),
        agents=_ways(permission.agents, agents, f"{where}.agents", "agent", mistakes),
        opaque=_ways(permission.opaque, routes, f"{where}.opaque", routes_kind, mistakes),
    )


def _ways(
    rules: Iterable[RouteRule], known: list[str], where: str, kind: str, mistakes: list[str]
) -> Mapping[str, tuple[RouteGrant, ...]]:
    ways: dict[str, tuple[RouteGrant, ...]] = {}
    for position, rule in enumerate(rules):
        way = RouteGrant(
            methods=frozenset(rule.methods) if rule.methods is not None else None,
            paths=Paths(rule.paths) if rule.paths is not None else None,
        )
        for name in _expand(rule.name, known, f"{where}[{position}]", kind, mistakes):
            ways[name] = (*ways.get(name, ()), way)
    return ways


def _expand(pattern: str, known: list[str], where: str, kind: str, mistakes: list[str]) -> list[str]:
    """The configured names that `pattern` stands for. A pattern that stands for none is a mistake, not an empty grant."""
    names = Names([pattern])
    found = [name for name in known if name in names]
    if not found:
        expected = "matches" if is_glob(pattern) else "is called"
        mistakes.append(f"{where}: no {kind} {expected} {pattern!r}{did_you_mean(pattern, known)}")
    return found
