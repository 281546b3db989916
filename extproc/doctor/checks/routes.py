"""Where requests go, how often, and when an answer is cut off. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.expected import INTERNAL_FIELDS, STREAM_FIELD, UPSTREAM_FIELD, Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import is_ai_gateway, policies, running
from extproc.doctor.tree import Tree
from extproc.doctor.view import Manager, Route

_HARMLESS: Final = frozenset(
    {"connect-failure", "refused-stream", "reset-before-request", "http3-post-connect-failure", "envoy-ratelimited"}
)
"""Causes of a retry in which the upstream has seen nothing of the request."""
_DEFAULT_TOTAL: Final = 15.0
_DEFAULT_SILENCE: Final = 300.0
_CREDENTIALS: Final = frozenset({"authorization", "api-key", "x-api-key", "ocp-apim-subscription-key", "x-goog-api-key"})


def routes(manager: Manager, expected: Expected) -> Iterator[Finding]:
    """What is wrong with the routes of a connection manager that judges."""
    if not policies(manager):
        return
    for route in manager.routes:
        if route.serves():
            where = f"listener {manager.listener}, {route.where}"
            yield from _repeats(route, where)
            yield from _chosen(manager, route, where)
            yield from _times(manager, route, expected, where)
            yield from _credentials(route, where)


def _repeats(route: Route, where: str) -> Iterator[Finding]:
    action = route.tree.at("route")
    holder = next(
        (tree for tree in (action, route.host) if tree.has("retry_policy") or tree.has("retry_policy_typed_config")), None
    )
    if holder is not None and holder.has("retry_policy_typed_config"):
        yield of(traps.RETRIES, where, "retry_policy_typed_config")
    elif holder is not None:
        causes = {cause.strip() for cause in holder.text("retry_policy", "retry_on").split(",")} - {""}
        count = holder.number("retry_policy", "num_retries")
        if count != 0 and causes - _HARMLESS:
            yield of(traps.RETRIES, where, f"retry_on: {', '.join(sorted(causes))}")
    for tree in (action, route.host):
        for name in ("request_mirror_policies", "hedge_policy"):
            if tree.has(name) and tree.at(name).value:
                yield of(traps.MIRRORED, where, name)
    if action.has("internal_redirect_policy") or action.text("internal_redirect_action") == "HANDLE_INTERNAL_REDIRECT":
        yield of(traps.REDIRECTED_INSIDE, where, "internal_redirect_policy")
    for config in action.items("upgrade_configs"):
        if config.text("upgrade_type").upper() == "CONNECT" and config.flag("enabled", default=True):
            yield of(traps.UPGRADE_BYPASSES, where, "upgrade_configs: CONNECT")


def _chosen(manager: Manager, route: Route, where: str) -> Iterator[Finding]:
    action = route.tree.at("route")
    if action.has("cluster_header"):
        yield of(traps.CLUSTER_BY_HEADER, where, f"cluster_header: {action.text('cluster_header')}")
    if not any(_is_exact(match, UPSTREAM_FIELD) for match in route.tree.items("match", "headers")):
        yield of(traps.ROUTE_WITHOUT_VERDICT, where, f"the route does not ask for {UPSTREAM_FIELD}")
    if any(is_ai_gateway(each.filter) for each in running(manager, route)):
        # AI Gateway removes them by itself, where no dump shows it.
        return
    removed = {
        name.lower()
        for tree in (route.tree, route.host, manager.tree.at("route_config"))
        for name in tree.texts("request_headers_to_remove")
    }
    kept = [name for name in INTERNAL_FIELDS if name not in removed]
    if kept:
        yield of(traps.INTERNAL_HEADERS_KEPT, where, f"not removed: {', '.join(kept)}")


def _is_exact(match: Tree, name: str) -> bool:
    if match.text("name").lower() != name or match.flag("invert_match"):
        return False
    return bool(match.text("string_match", "exact") or match.text("exact_match"))


def _times(manager: Manager, route: Route, expected: Expected, where: str) -> Iterator[Finding]:
    """Zero is no limit at all."""
    action = route.tree.at("route")
    total = action.seconds("timeout")
    if total is None or 0 < total < expected.total:
        said = f"not set, so {_DEFAULT_TOTAL:g}s" if total is None else f"{total:g}s"
        yield of(traps.ANSWER_CUT, where, f"timeout: {said}; the configuration allows {expected.total:g}s")
    limits = (
        ("max_stream_duration", action.seconds("max_stream_duration", "max_stream_duration")),
        ("max_stream_duration", manager.tree.seconds("common_http_protocol_options", "max_stream_duration")),
    )
    for name, limit in limits:
        if limit is not None and 0 < limit < expected.total:
            yield of(traps.ANSWER_CUT, where, f"{name}: {limit:g}s; the configuration allows {expected.total:g}s")
    silence = action.seconds("idle_timeout")
    if silence is None:
        silence = manager.tree.seconds("stream_idle_timeout")
    silence = _DEFAULT_SILENCE if silence is None else silence
    wanted = expected.stream_idle if _streams(route) else expected.idle
    if 0 < silence < wanted:
        yield of(traps.SILENCE_CUT, where, f"idle_timeout: {silence:g}s; the configuration allows {wanted:g}s")


def _streams(route: Route) -> bool:
    """Whether streamed answers may take this route: unless it asks for the others."""
    for match in route.tree.items("match", "headers"):
        if match.text("name").lower() == STREAM_FIELD and _is_exact(match, STREAM_FIELD):
            return (match.text("string_match", "exact") or match.text("exact_match")) != "0"
    return True


def _credentials(route: Route, where: str) -> Iterator[Finding]:
    for tree in (route.tree, route.host):
        for added in tree.items("request_headers_to_add"):
            name = added.text("header", "key").lower()
            # A value that is computed is not in sight.
            if name in _CREDENTIALS and "%" not in added.text("header", "value"):
                yield of(traps.CREDENTIAL_IN_SIGHT, where, f"request_headers_to_add: {name}")
