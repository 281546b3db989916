"""What a configuration asks for that this profile cannot do, each with its place and what to do instead. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from extproc.addresses import is_ip
from extproc.ai_gateway.pieces import Options, kubernetes_name, piece
from extproc.settings import AgentEntry, Settings, UpstreamEntry

_MOST_FIELDS: Final = 64
"""What a ClientTrafficPolicy sets of answers; some of it is the profile's own."""
_MOST_PORTS: Final = 16
"""Backends that one `extProc` may name."""
_HOST: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What a Backend takes for a host name."""
_STANDALONE_PORTS: Final = frozenset({1061, 1064, 8081, 9856, 10088, *range(18_000, 18_003), *range(19_000, 19_004)})
"""Taken by `aigw` and by the Envoy Gateway inside it, whatever is configured."""


def misfits(settings: Settings, options: Options, *, standalone: bool, told: Sequence[str]) -> list[str]:
    """Every reason for which the profile cannot serve these settings. `told`: what policies add to answers."""
    return [
        *_everywhere(settings, told),
        *(_standalone(settings) if standalone else _cluster(settings)),
        *_places(settings, standalone=standalone),
        *_names("upstreams", settings.upstreams),
        *_names("agents", settings.agents),
    ]


def _everywhere(settings: Settings, told: Sequence[str]) -> Iterator[str]:
    if not settings.upstreams:
        yield "upstreams: AI Gateway is for providers: without any, use the plain profile"
    for index, route in enumerate(settings.opaque):
        yield f"opaque[{index}]: AI Gateway answers 404 to {route.path}, which is no call: use the plain profile"
    for index, upstream in enumerate(settings.upstreams):
        base = urlsplit(upstream.url).path
        if upstream.api_version is not None and base not in ("", "/openai"):
            yield f"upstreams[{index}].url: with `api_version` AI Gateway asks Azure below /openai, never below {base}"
    if settings.listen.port == 0:
        yield "listen.port: 0, any free port, is nothing that a Gateway can be given"
    room = _MOST_FIELDS - 1 - len(piece("reply_fields"))
    if len(told) > room:
        yield f"policies: they add {len(told)} header fields to answers: there is room for {room}"
    if settings.listen.cors is not None:
        # The first route of all calls is AI Gateway's 404; where a route answers by itself Envoy's filter sees no policy.
        yield "listen.cors: Envoy answers no preflight here: use the plain profile, or let something in front of it do so"


def _standalone(settings: Settings) -> Iterator[str]:
    if settings.listen.port in _STANDALONE_PORTS:
        yield f"listen.port: {settings.listen.port} is one of the ports that `aigw` takes for itself"
    if settings.listen.tls is not None:
        yield "listen.tls: `aigw` hands no certificate on to Envoy: let something in front of it do TLS"
    if settings.server.tls is not None:
        yield "server.tls: `aigw` hands no certificate on to Envoy: on one machine use `listen: unix:/path`"
    for index, agent in enumerate(settings.agents):
        if agent.credential is not None:
            yield f"agents[{index}].credential: `aigw` hands no secret on to Envoy: it adds the keys of providers only"


def _cluster(settings: Settings) -> Iterator[str]:
    server = settings.server
    if server.listen.startswith("unix:"):
        return
    host = server.listen.rpartition(":")[0].strip("[]")
    if host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback):
        yield f"server.listen: nobody in a cluster reaches {host}: use 0.0.0.0, or unix:/path beside Envoy"
    if server.workers > _MOST_PORTS:
        yield f"server.workers: {server.workers}: Envoy Gateway takes {_MOST_PORTS} ports of a Service: run more of them"


def _places(settings: Settings, *, standalone: bool) -> Iterator[str]:
    named: list[tuple[str, UpstreamEntry | AgentEntry]] = [
        *((f"upstreams[{index}].url", upstream) for index, upstream in enumerate(settings.upstreams)),
        *((f"agents[{index}].url", agent) for index, agent in enumerate(settings.agents)),
    ]
    for where, entry in named:
        parts = urlsplit(entry.url)
        host = parts.hostname or ""
        if is_ip(host):
            if parts.scheme == "https":
                yield f"{where}: Envoy Gateway judges certificates by a host name, and {host} is an address"
            if not standalone and ipaddress.ip_address(host).is_loopback:
                yield f"{where}: nobody in a cluster reaches {host}"
        elif not _HOST.fullmatch(host):
            yield f"{where}: {host} is no host name to Kubernetes"
        elif not standalone and "." not in host:
            yield f"{where}: Envoy Gateway takes no name of one part: write {host}.NAMESPACE.svc.cluster.local"


def _names(section: str, entries: Sequence[UpstreamEntry | AgentEntry]) -> Iterator[str]:
    """Kubernetes has fewer names: two of ours may become one."""
    made = [kubernetes_name(entry.name) for entry in entries]
    for index, (entry, name) in enumerate(zip(entries, made, strict=True)):
        if made.count(name) > 1:
            yield f"{section}[{index}].name: {entry.name} and another are both {name} in Kubernetes"
