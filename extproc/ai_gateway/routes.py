"""Which request goes where, by the verdict: routes to providers and to agents, and what bounds them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from extproc.addresses import is_ip
from extproc.ai_gateway.backends import location
from extproc.ai_gateway.pieces import Options, duration, piece
from extproc.settings import AgentEntry, Settings, UpstreamEntry

_RULES_OF_A_ROUTE: Final = 15
"""AIGatewayRoute takes no more: the sixteenth is its own."""
_ROUTE_GROUP: Final = "gateway.networking.k8s.io"


def provider_routes(settings: Settings, options: Options) -> Iterator[Any]:
    """An AIGatewayRoute for plain and one for streamed answers, which may be silent for longer; more, where upstreams
    are many."""
    for stream in (False, True):
        for name, entries in _route_names(settings, options, stream=stream):
            yield piece(
                "ai_gateway_route",
                metadata=options.metadata(name),
                gateway_name=options.name,
                rules=[_rule(entry, settings, options, stream=stream) for entry in entries],
            )


def _route_names(settings: Settings, options: Options, *, stream: bool) -> Iterator[tuple[str, Sequence[UpstreamEntry]]]:
    base = f"{options.name}-stream" if stream else options.name
    for start in range(0, len(settings.upstreams), _RULES_OF_A_ROUTE):
        number = start // _RULES_OF_A_ROUTE + 1
        yield (base if number == 1 else f"{base}-{number}"), settings.upstreams[start : start + _RULES_OF_A_ROUTE]


def _rule(entry: UpstreamEntry, settings: Settings, options: Options, *, stream: bool) -> Any:
    return piece(
        "ai_gateway_rule",
        upstream_name=entry.name,
        stream_flag="1" if stream else "0",
        target_name=options.upstream(entry),
        total_timeout=duration(settings.timeouts.total),
    )


def agent_routes(settings: Settings, options: Options, *, standalone: bool) -> Iterator[Any]:
    """HTTPRoutes of the agents, their Backends and what injects their credentials."""
    for agent in settings.agents:
        name = options.agent(agent, standalone=standalone)
        yield from location(agent, name, options)
        if agent.credential is not None:
            yield piece("agent_credential", metadata=options.metadata(name), secret_name=name)
        yield _agent_route(agent, name, settings, options)
    if settings.agents:
        yield piece("unjudged_filter", metadata=options.metadata(_unjudged(options)))


def _agent_route(agent: AgentEntry, name: str, settings: Settings, options: Options) -> Any:
    host = urlsplit(agent.url).hostname or ""
    return piece(
        "agent_route",
        metadata=options.metadata(name),
        gateway_name=options.name,
        agent_name=agent.name,
        agent_path=f"/agents/{agent.name}/",
        host_filter=piece("host_filter", host_name=host) if not is_ip(host) else None,
        removed_fields=[*piece("internal_fields"), "x-envoy-original-path"],
        credential_filter=piece("extension_filter", filter_name=name) if agent.credential is not None else None,
        target_name=name,
        total_timeout=duration(settings.timeouts.total),
        unjudged_name=_unjudged(options),
    )


def _unjudged(options: Options) -> str:
    return f"{options.name}-unjudged"


def agent_refs(settings: Settings, options: Options, *, standalone: bool) -> list[dict[str, Any]]:
    """How a policy names the routes of agents: one by one, because Envoy Gateway knows no labels of what it reads from
    files."""
    return [_route_ref(options.agent(agent, standalone=standalone)) for agent in settings.agents]


def _route_ref(name: str) -> dict[str, Any]:
    return {"group": _ROUTE_GROUP, "kind": "HTTPRoute", "name": name}


def traffic_policies(settings: Settings, options: Options, *, standalone: bool) -> Iterator[Any]:
    """What bounds the routes: all, those of streamed answers, those of agents. The most specific counts as a whole."""
    timeouts = settings.timeouts
    body = {"limit": settings.max_body_bytes}
    everything = [options.gateway_ref()]

    def bounds(name: str, refs: list[dict[str, Any]], idle: float, buffer: Any = None) -> Any:
        return piece(
            "backend_traffic_policy",
            metadata=options.metadata(name),
            target_refs=refs,
            request_buffer=buffer,
            connect_timeout=duration(timeouts.connect),
            total_timeout=duration(timeouts.total),
            route_idle_timeout=duration(idle),
        )

    yield bounds(options.name, everything, timeouts.idle, body)
    for route, _ in _route_names(settings, options, stream=True):
        yield bounds(route, [_route_ref(route)], timeouts.stream_idle, body)
    if settings.agents:
        # Agents may stream whenever they like, so they get the longer silence; and their bodies are not buffered.
        yield bounds(f"{options.name}-agents", agent_refs(settings, options, standalone=standalone), timeouts.stream_idle)
