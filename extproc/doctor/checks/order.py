"""Whether every request meets the policy filter, the guard and the meter, in this order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import (
    EXT_PROC,
    code_changes,
    enforces_verdict,
    is_ai_gateway,
    is_guard,
    is_meter,
    is_of_this_version,
    policies,
    rules_of,
    running,
    script,
    source,
)
from extproc.doctor.view import Active, Filter, Manager

_CHANGES: Final = frozenset({EXT_PROC, "Lua", "Wasm", "HeaderMutation", "DynamicModuleFilter", "GrpcJsonTranscoder"})
"""Filters that can change a request; Go's is called `Config`, as many are, and known by its library."""
_CACHES: Final = frozenset({"CacheConfig", "CacheV2Config"})


def order(manager: Manager) -> Iterator[Finding]:
    """What is wrong with the filters of a connection manager through which requests leave."""
    if not manager.serves():
        return
    ours = policies(manager)
    where = f"listener {manager.listener}"
    if not ours:
        yield of(traps.POLICY_MISSING, where, "no policy filter (ext_proc) among its filters")
        return
    for route in manager.routes:
        # Where a route must switch it on, the first that matches decides, and that may be one that answers by itself.
        if route.serves() or all(each.disabled for each in ours):
            yield from _chain(running(manager, route), ours, f"{where}, {route.where}")
    for config in manager.tree.items("upgrade_configs"):
        own = [each.text("typed_config", "@type").rpartition(".")[2] for each in config.items("filters")]
        if own and EXT_PROC not in own:
            kind = config.text("upgrade_type")
            yield of(traps.UPGRADE_BYPASSES, where, f"upgrade_configs: {kind} has filters of its own")


def _chain(chain: list[Active], ours: list[Filter], where: str) -> Iterator[Finding]:
    present = [index for index, each in enumerate(chain) if each.filter in ours]
    if not present:
        yield of(traps.POLICY_BYPASSED, where, f"the filter {ours[0].name} does not run there")
        return
    policy = present[0]
    if len(present) > 1:
        yield of(traps.POLICY_TWICE, where, f"policy filters: {', '.join(chain[each].filter.name for each in present)}")
    gateway = _first(chain, lambda each: is_ai_gateway(each.filter))
    if gateway is not None and gateway < policy:
        yield of(traps.AI_GATEWAY_FIRST, where, f"{chain[gateway].filter.name} runs before {chain[policy].filter.name}")
    rest = [each for index, each in enumerate(chain) if index not in present[1:]]
    yield from _guard(rest, policy, where)
    yield from _meter(chain, policy, gateway, where)
    yield from _others(rest, policy, where)


def _guard(chain: list[Active], policy: int, where: str) -> Iterator[Finding]:
    found = _first(chain, is_guard)
    if found is None:
        yield of(traps.GUARD_MISSING, where, "no filter looks for the verdict")
        return
    guard = chain[found]
    name = guard.filter.name
    if found < policy:
        yield of(traps.GUARD_BEFORE_POLICY, where, f"{name} runs before {chain[policy].filter.name}")
    if guard.filter.type == "RBAC" and not enforces_verdict(rules_of(guard)):
        yield of(traps.GUARD_INEFFECTIVE, where, f"the rules of {name} do not ask for the verdict alone")
    between = chain[policy + 1 : found]
    acting = [each.filter.name for each in between if is_ai_gateway(each.filter) or _changes(each)]
    if acting:
        yield of(traps.GUARD_LATE, where, f"before {name} runs {', '.join(acting)}")
    if guard.filter.type == "Lua":
        yield from _version(guard, "guard.lua", where)


def _meter(chain: list[Active], policy: int, gateway: int | None, where: str) -> Iterator[Finding]:
    found = _first(chain, is_meter)
    if found is None:
        yield of(traps.METER_MISSING, where, "no script writes the metadata `sluicegate.usage`")
        return
    name = chain[found].filter.name
    if found < policy:
        yield of(traps.METER_MISPLACED, where, f"{name} runs before {chain[policy].filter.name}")
    if gateway is not None and policy < gateway < found:
        yield of(traps.METER_MISPLACED, where, f"{name} runs behind {chain[gateway].filter.name}")
    yield from _version(chain[found], "usage.lua", where)


def _others(chain: list[Active], policy: int, where: str) -> Iterator[Finding]:
    meter = _first(chain, is_meter)
    nearest = policy if meter is None else meter
    guard = _first(chain, is_guard)
    # What runs between the two is said of the guard.
    judged = policy if guard is None else max(policy, guard)
    for index, each in enumerate(chain):
        kind, name = each.filter.type, each.filter.name
        if kind == "Compressor":
            hidden = index > min(policy, nearest)
            trap = traps.COMPRESSED_BEFORE_METERING if hidden else traps.ANSWERS_COMPRESSED
            yield of(trap, where, f"the filter {name}")
        elif kind in _CACHES and index < policy:
            yield of(traps.CACHED_UNJUDGED, where, f"the filter {name} runs before {chain[policy].filter.name}")
        elif kind == "Cors" and index > policy:
            yield of(traps.PREFLIGHT_REFUSED, where, f"the filter {name} runs after {chain[policy].filter.name}")
        elif index > judged and _changes(each):
            yield of(traps.CHANGED_AFTER_JUDGEMENT, where, f"the filter {name} ({kind}) runs after the policy filter")


def _changes(each: Active) -> bool:
    if is_ai_gateway(each.filter):
        return False
    if each.filter.type == "HeaderMutation":
        trees = (each.filter.config, each.override)
        return any(tree.items("mutations", "request_mutations") for tree in trees)
    if each.filter.type == "Lua":
        return code_changes(script(each)) or _is_elsewhere(each)
    return each.filter.type in _CHANGES or each.filter.config.has("library_id")


def _is_elsewhere(each: Active) -> bool:
    """Whether a script lies in a file, where it is not seen."""
    return any(
        tree.has("filename") or tree.has("environment_variable")
        for tree in (each.override.at("source_code"), each.filter.config.at("default_source_code"))
    )


def _version(each: Active, file: str, where: str) -> Iterator[Finding]:
    """Whether a script is the one that belongs to this policy server."""
    if not is_of_this_version(source(each), file):
        yield of(traps.SCRIPT_OF_ANOTHER_VERSION, where, f"the script of {each.filter.name} is not this version's {file}")


def _first(chain: list[Active], wanted: Callable[[Active], bool]) -> int | None:
    return next((index for index, each in enumerate(chain) if wanted(each)), None)
