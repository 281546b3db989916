"""AIGatewayRoutes and HTTPRoutes: chosen by the verdict, once, with nothing of ours told to providers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.documents import Document, Resources
from extproc.doctor.expected import INTERNAL_FIELDS, UPSTREAM_FIELD, Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.quantities import seconds
from extproc.doctor.tree import Tree

COSTS: Final = (
    "InputToken",
    "OutputToken",
    "TotalToken",
    "CachedInputToken",
    "CacheCreationInputToken",
    "ReasoningToken",
)
"""What AI Gateway can count."""


def gateway_routes(resources: Resources, expected: Expected) -> Iterator[Finding]:
    """What is wrong with the routes."""
    backends = {each.name: each for each in resources.of("AIServiceBackend")}
    for route in resources.of("AIGatewayRoute"):
        counted = {cost.text("type") for cost in route.spec.items("llmRequestCosts")}
        lacking = [cost for cost in COSTS if cost not in counted]
        if lacking:
            yield of(traps.COSTS_MISSING, route.where, f"llmRequestCosts without {', '.join(lacking)}")
        for rule in route.spec.items("rules"):
            yield from _chosen(rule, route, expected)
            yield from _removed_by_gateway(rule, route, backends)
    for route in [*resources.of("HTTPRoute"), *resources.of("GRPCRoute")]:
        for rule in route.spec.items("rules"):
            if rule.items("backendRefs"):
                yield from _chosen(rule, route, expected)
                yield from _removed_by_route(rule, route)
            for each in rule.items("filters"):
                if each.text("type") == "RequestMirror":
                    yield of(traps.MIRRORED, route.where, "a filter of type RequestMirror")
    for route in resources.of("MCPRoute"):
        if not resources.of("NetworkPolicy"):
            yield of(traps.MCP_OPEN, route.where, "no NetworkPolicy among the documents")


def _chosen(rule: Tree, route: Document, expected: Expected) -> Iterator[Finding]:
    matches = rule.items("matches")
    if not matches or not all(_asks(match) for match in matches):
        yield of(traps.ROUTE_WITHOUT_VERDICT, route.where, f"a rule that does not ask for {UPSTREAM_FIELD}")
    if rule.has("retry"):
        yield of(traps.RETRIES, route.where, "a rule with retry")
    total = seconds(rule, "timeouts", "request")
    if total is None or 0 < total < expected.total:
        said = "not set" if total is None else f"{total:g}s"
        yield of(traps.ANSWER_CUT, route.where, f"timeouts.request: {said}; the configuration allows {expected.total:g}s")


def _asks(match: Tree) -> bool:
    return any(
        each.text("name").lower() == UPSTREAM_FIELD and each.text("type") in {"", "Exact"} and each.text("value")
        for each in match.items("headers")
    )


def _removed_by_gateway(rule: Tree, route: Document, backends: dict[str, Document]) -> Iterator[Finding]:
    for ref in rule.items("backendRefs"):
        holders = [ref.at("headerMutation")]
        if (backend := backends.get(ref.text("name"))) is not None:
            holders.append(backend.spec.at("headerMutation"))
        yield from _kept({name.lower() for each in holders for name in each.texts("remove")}, route)


def _removed_by_route(rule: Tree, route: Document) -> Iterator[Finding]:
    names = {name.lower() for each in rule.items("filters") for name in each.texts("requestHeaderModifier", "remove")}
    yield from _kept(names, route)


def _kept(removed: set[str], route: Document) -> Iterator[Finding]:
    kept = [name for name in INTERNAL_FIELDS if name not in removed]
    if kept:
        yield of(traps.INTERNAL_HEADERS_KEPT, route.where, f"not removed: {', '.join(kept)}")
