"""Contracts of prices that never apply, so that other prices are charged. Pure; each is a line with its path.

Only what is certain is told: a pattern that may fit some name that a client may send is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from extproc.catalogue import Catalogue, Model, Upstream
from extproc.configured import items, mapping
from extproc.contracts import ContractEntry
from extproc.mistakes import hint
from extproc.settings import PolicyEntry, Settings
from extproc.tariff import Contract

_OWN: Final = frozenset({"access", "audit", "cost", "entra", "limits"})
"""Policies of which it is known where tenants come from: `entra` alone. Of others it is not."""
_WILD: Final = frozenset("*?[")
_FEW: Final = 200
"""Tenants among which one is looked for that may be meant: of more it takes long."""
_CLASS: Final = re.compile(r"\[!?\]?[^\]]*(\]?)")
_RANGE: Final = re.compile(r"(.)-(.)", re.DOTALL)
_CLOSED: Final = re.compile(r"\[!?\]?[^\]]*\]")


def idle_contracts(settings: Settings, catalogue: Catalogue, now: datetime) -> Iterator[str]:
    """A line for each reason why a contract never applies, or no longer. The catalogue is that of the settings."""
    agreed, moment = catalogue.terms.contracts, now.timestamp()
    in_force = {_scope(one) for one in agreed if one.since <= moment < one.until}
    tenants = known_tenants(settings.policies)
    for index, (entry, contract) in enumerate(zip(settings.prices.contracts, agreed, strict=True)):
        place = f"prices.contracts[{index}]"
        broken = list(_broken(place, entry))
        yield from broken
        if not broken:
            yield from _elsewhere(place, contract, catalogue.upstreams)
            yield from _of_nobody(place, contract, tenants)
        if contract.until <= moment and _scope(contract) not in in_force:
            told = f"contract {entry.name!r} no longer applies: it ended on {entry.until} (UTC), and none takes its place"
            yield f"{place}.until: {told}"


def known_tenants(policies: Iterable[PolicyEntry]) -> frozenset[str] | None:
    """The ids and names of all tenants that a caller can be of; None where that is not known."""
    found: set[str] = set()
    for entry in policies:
        if entry.policy not in _OWN:
            return None
        if entry.policy == "entra":
            said = _tenants(entry.settings)
            if said is None:
                return None
            found |= said
    return frozenset(found)


def _tenants(settings: Mapping[str, Any]) -> set[str] | None:
    listed = [mapping(one) for one in items(settings.get("tenants"))]
    if settings.get("any_tenant") or not listed:
        return None
    if mapping(settings.get("claims")).get("tenant_name") and not all(one.get("name") for one in listed):
        # A tenant without a name here is called as its tokens say.
        return None
    ids = {str(one.get("id", "")).lower() for one in listed}
    return {*ids, *(str(one.get("name") or "") for one in listed)} - {""}


def _broken(place: str, entry: ContractEntry) -> Iterator[str]:
    patterns = [(f"models[{index}]", pattern) for index, pattern in enumerate(entry.models)]
    if entry.tenant is not None:
        patterns.append(("tenant", entry.tenant))
    for where, pattern in patterns:
        why = malformed(pattern)
        if why is not None:
            yield f"{place}.{where}: contract {entry.name!r}: {pattern!r} is no glob: {why}"


def malformed(glob: str) -> str | None:
    """Why this is surely not meant as it is matched; None if it may be."""
    for found in _CLASS.finditer(glob):
        if not found[1]:
            return "its bracket is not closed, and stands for itself"
        if any(first > last for first, last in _RANGE.findall(found[0][1:-1].removeprefix("!"))):
            return "a range that runs backwards stands for nothing"
    return None


def _elsewhere(place: str, contract: Contract, upstreams: Sequence[Upstream]) -> Iterator[str]:
    told = f"contract {contract.name!r} never applies"
    of = "" if contract.provider is None else f" of provider {contract.provider}"
    fitting = [one for one in upstreams if contract.provider in (None, one.provider.value)]
    if not fitting:
        yield f"{place}{'.provider' if of else ''}: {told}: there is no upstream{of}"
        return
    if contract.region is not None:
        regions = sorted({one.region for one in fitting if one.region is not None})
        fitting = [one for one in fitting if one.region == contract.region]
        of += f" of region {contract.region!r}"
        if not fitting:
            yield f"{place}.region: {told}: there is no upstream{of}{hint(contract.region, regions)}"
            return
    models = [model for one in fitting for model in one.models]
    if not any(_fits(pattern, model) for pattern in contract.models for model in models):
        names = ", ".join(map(repr, contract.models))
        near = hint(contract.models[0], sorted({name for model in models for name in (model.name, model.target) if name}))
        yield f"{place}.models: {told}: no upstream{of} has a model {names}{near}"


def _of_nobody(place: str, contract: Contract, tenants: frozenset[str] | None) -> Iterator[str]:
    if contract.tenant is None or tenants is None or contract.tenant in tenants:
        return
    if _WILD & set(contract.tenant) and any(fnmatchcase(one, contract.tenant) for one in tenants):
        return
    near = hint(contract.tenant, sorted(tenants)) if len(tenants) <= _FEW else ""
    yield f"{place}.tenant: contract {contract.name!r} never applies: no tenant is called {contract.tenant!r}{near}"


def _scope(contract: Contract) -> tuple[object, ...]:
    """All that it is for."""
    return (frozenset(contract.models), contract.provider, contract.region, contract.tenant)


def _fits(pattern: str, model: Model) -> bool:
    if model.target is not None and fnmatchcase(model.target, pattern):
        return True
    return may_meet(pattern, model.name) if model.is_glob else fnmatchcase(model.name, pattern)


@lru_cache(maxsize=4_096)
def may_meet(glob: str, other: str) -> bool:
    """Whether some name may be one that both stand for. No is certain: a class is taken for any character."""
    one, two = (_CLOSED.sub("?", text) for text in (glob, other))
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if (i, j) == (len(one), len(two)):
            return True
        for state in _next(one[i : i + 1], two[j : j + 1], i, j):
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


def _next(first: str, second: str, i: int, j: int) -> Iterator[tuple[int, int]]:
    """Where both stand after what comes next: `""` at an end. A star takes nothing more, or what the other takes."""
    if first == "*":
        yield i + 1, j
        if second:
            yield i, j + 1
    elif second == "*":
        yield i, j + 1
        if first:
            yield i + 1, j
    elif first and second and (first == second or "?" in (first, second)):
        yield i + 1, j + 1
