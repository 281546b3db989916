"""How the policy server is asked: what it sees, how long Envoy waits, what becomes of what it says. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.expected import NAMESPACE, Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import is_ai_gateway, is_of_envoy_gateway, policies, received, running
from extproc.doctor.tree import Tree
from extproc.doctor.view import Active, Manager, Route

_DEFAULT_TIMEOUT: Final = 0.2
"""Envoy's `message_timeout`, in seconds."""


def asking(manager: Manager, expected: Expected) -> Iterator[Finding]:
    """What is wrong with the policy filters of a connection manager, and with what its routes change of them."""
    if not manager.serves():
        return
    ours = policies(manager)
    for each in ours:
        where = f"listener {manager.listener}, filter {each.name}"
        yield from _server(each.config, where, expected)
        yield from _understood(each.config, where, plain=not is_of_envoy_gateway(manager))
        if not received_by_us(each.config):
            yield of(traps.VERDICT_NOT_RECEIVED, where, f"receiving_namespaces: {received(each.config) or 'none'}")
    for route in manager.routes:
        chain = running(manager, route)
        for active in chain:
            if active.filter in ours:
                yield from _on_route(active, chain, manager, route)


def received_by_us(config: Tree) -> bool:
    """Whether the verdict's metadata is taken."""
    return NAMESPACE in received(config)


def _server(config: Tree, where: str, expected: Expected) -> Iterator[Finding]:
    if config.flag("failure_mode_allow"):
        yield of(traps.FAIL_OPEN, where, "failure_mode_allow: true")
    timeout = config.seconds("message_timeout")
    waits = _DEFAULT_TIMEOUT if timeout is None else timeout
    if waits <= expected.decision_timeout:
        said = "not set" if timeout is None else f"{waits:g}s"
        decides = f"a decision may take {expected.decision_timeout:g}s"
        yield of(traps.MESSAGE_TIMEOUT, where, f"message_timeout: {said}; {decides}")
    if config.has("http_service") or not config.has("grpc_service"):
        yield of(traps.POLICY_NOT_GRPC, where, "it is asked by http_service")
    if config.flag("observability_mode"):
        yield of(traps.OBSERVED_ONLY, where, "observability_mode: true")
    if config.flag("disable_immediate_response"):
        yield of(traps.REFUSALS_DISABLED, where, "disable_immediate_response: true")


def _understood(config: Tree, where: str, *, plain: bool) -> Iterator[Finding]:
    """What becomes of what the policy server says. `plain`: without Envoy Gateway, which cannot set all of it."""
    if plain and not config.has("status_on_error"):
        yield of(traps.NO_STATUS_ON_ERROR, where, "status_on_error is not set")
    if not config.flag("allow_mode_override"):
        yield of(traps.MODE_OVERRIDE_FORBIDDEN, where, "allow_mode_override: false")
    elif config.items("allowed_override_modes"):
        yield of(traps.MODE_OVERRIDE_FORBIDDEN, where, "allowed_override_modes restricts what it may ask for")
    rules = config.at("mutation_rules")
    forbidding = [name for name in ("disallow_all", "disallow_system") if rules.flag(name)]
    forbidding += [name for name in ("allow_expression", "disallow_expression") if rules.has(name)]
    lacking = [name for name in ("allow_all_routing", "allow_envoy") if plain and not rules.flag(name)]
    if forbidding or lacking:
        said = [*(f"{name} is set" for name in forbidding), *(f"{name} is not" for name in lacking)]
        yield of(traps.CHANGES_REFUSED, where, f"mutation_rules: {', '.join(said)}")
    if config.flag("disable_clear_route_cache"):
        yield of(traps.ROUTE_NOT_CHOSEN, where, "disable_clear_route_cache: true")
    if config.text("route_cache_action") == "RETAIN":
        yield of(traps.ROUTE_NOT_CHOSEN, where, "route_cache_action: RETAIN")
    if config.has("forward_rules"):
        yield of(traps.HEADERS_NOT_JUDGED, where, "forward_rules: some header fields are not sent")


def _on_route(active: Active, chain: list[Active], manager: Manager, route: Route) -> Iterator[Finding]:
    overrides = active.override.at("overrides")
    where = f"listener {manager.listener}, {route.where}"
    if overrides.flag("failure_mode_allow"):
        yield of(traps.FAIL_OPEN, where, f"the route sets failure_mode_allow: true for {active.filter.name}")
    if overrides.has("metadata_options") and not received_by_us(overrides):
        yield of(traps.VERDICT_NOT_RECEIVED, where, "the route sets other metadata_options")
    base = active.filter.config.at("processing_mode")
    mode = overrides.at("processing_mode") if overrides.has("processing_mode") else base
    if mode.text("request_header_mode") == "SKIP":
        yield of(traps.HEADERS_NOT_JUDGED, where, "request_header_mode: SKIP")
    body = mode.text("request_body_mode") or "NONE"
    if body != "BUFFERED" and not _may_stay_unread(body, chain, manager, route):
        yield of(traps.BODY_NOT_JUDGED, where, f"request_body_mode: {body}")
    answers = [name for name in ("response_body_mode", "response_trailer_mode") if mode.text(name) not in {"", *_UNSENT}]
    if mode.text("response_header_mode") != "SKIP":
        answers.insert(0, "response_header_mode")
    if answers:
        said = ", ".join(f"{name}: {mode.text(name) or 'SEND'}" for name in answers)
        yield of(traps.RESPONSE_FOR_NOTHING, where, said)


_UNSENT: Final = ("NONE", "SKIP", "DEFAULT")


def _may_stay_unread(body: str, chain: list[Active], manager: Manager, route: Route) -> bool:
    """Bodies of agents are not for us. Before the verdict such a route serves nothing; with Envoy Gateway, where a route
    keeps its filters, it is one that AI Gateway has no part in."""
    if body != "NONE":
        return False
    if not route.serves():
        return True
    return is_of_envoy_gateway(manager) and not any(is_ai_gateway(each.filter) for each in chain)
