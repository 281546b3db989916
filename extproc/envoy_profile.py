"""The plain-Envoy profile: from settings to a bootstrap.

The configuration itself is data, in `envoy/plain.yaml`; this module chooses the pieces and fills in the values.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from extproc import assembly
from extproc.catalogue import Provider
from extproc.envoy_data import data_directory, piece
from extproc.envoy_replies import local_replies
from extproc.envoy_tls import policy_socket, secrets
from extproc.secret import Secret
from extproc.settings import AgentEntry, Settings, UpstreamEntry

_SECONDS_BEYOND: Final = 1.0
"""How much longer Envoy waits than the policy server takes to decide: the server's own refusal says more."""
_POLICY: Final = "sluicegate_policy"
_SETTLEMENT: Final = "sluicegate_settlement"
_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"


def _address(address: str) -> dict[str, Any]:
    """Envoy's form of `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def bootstrap(
    settings: Settings,
    *,
    admin: str,
    secret_directory: PurePath | None = None,
    response_fields: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Envoy's bootstrap for these settings.

    `admin`: `unix:/path` or `host:port` of Envoy's admin endpoint. `secret_directory`: where Envoy finds the files of
    `extproc.envoy_tls.secret_files`; without it, what they hold is part of the bootstrap, and read once.
    `response_fields`: what policies may add to answers; without it, what the configured policies say they do.
    """
    told = tuple(assembly.response_fields(settings) if response_fields is None else response_fields)
    listen = settings.listen
    entries: tuple[UpstreamEntry | AgentEntry, ...] = (*settings.upstreams, *settings.agents)
    manager = piece(
        "connection_manager",
        total_timeout=_duration(settings.timeouts.total),
        idle_timeout=_duration(settings.timeouts.idle),
        local_replies=local_replies(),
        http_filters=_http_filters(settings),
        per_filter=_per_filter(settings, told),
        routes=[*(route for entry in entries for route in _routes(entry, settings, told)), *_unread_routes(settings)],
        settlement_cluster=_SETTLEMENT if settings.server.workers > 1 else _POLICY,
    )
    listener = piece(
        "listener",
        listen_address=listen.address,
        listen_port=listen.port,
        max_body_bytes=settings.max_body_bytes,
        downstream_tls=piece("downstream_tls", certificate_file=listen.tls.certificate, key_file=listen.tls.key)
        if listen.tls
        else None,
        connection_manager=manager,
    )
    return _plain(
        piece(
            "bootstrap",
            admin_address=_address(admin),
            listener=listener,
            clusters=[
                *_policy_clusters(settings, policy_socket(settings, secret_directory)),
                *(_cluster(entry, settings) for entry in entries),
            ],
            secrets=[
                *(secrets(settings) if secret_directory is None else ()),
                *(secret for entry in entries if (secret := _secret(entry)) is not None),
            ],
        )
    )


def _policy_clusters(settings: Settings, tls: Any | None) -> Iterable[Any]:
    """Who decides; and who settles, where that is somebody else."""
    placed = settings.server.placement()
    yield _policy_cluster(_POLICY, [_as_seen(address, settings) for address in placed.deciding], tls)
    if settings.server.workers > 1:
        yield _policy_cluster(_SETTLEMENT, [_as_seen(placed.settling, settings)], tls)


def _as_seen(address: str, settings: Settings) -> str:
    """Where Envoy connects to what listens on this address."""
    tls = settings.server.tls
    if tls is None or tls.envoy.host is None:
        return address
    return f"{tls.envoy.host}:{address.rpartition(':')[2]}"


def _policy_cluster(name: str, addresses: Iterable[str], tls: Any | None) -> Any:
    listed = list(addresses)
    several = len(listed) > 1
    return piece(
        "policy_cluster",
        policy_cluster=name,
        policy_cluster_type="STATIC" if listed[0].startswith("unix:") else "STRICT_DNS",
        # Until a check finds that a worker hangs it is asked little: what it has been asked stays with it.
        policy_balancing="LEAST_REQUEST" if several else None,
        policy_choice=piece("policy_choice") if several else None,
        policy_checks=piece("policy_checks") if several else None,
        policy_tls=tls,
        policy_endpoints=[{"endpoint": {"address": _address(address)}} for address in listed],
    )


def _plain(tree: Any) -> dict[str, Any]:
    """The tree without YAML's shared nodes, so that it is written out without anchors."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    return copy


def _http_filters(settings: Settings) -> list[Any]:
    policy = piece(
        "policy_filter",
        message_timeout=_duration(settings.server.decision_timeout + _SECONDS_BEYOND),
        processing_mode=processing_mode(),
    )
    lua = (data_directory() / "usage.lua").read_text("utf-8")
    cors = [piece("cors_filter")] if settings.listen.cors else []
    return [*cors, policy, piece("guard_filter"), piece("meter_filter", usage_lua=lua), piece("router_filter")]


def processing_mode(*, body: bool = True) -> dict[str, str]:
    """What Envoy sends before the policy server says otherwise: the request, and nothing of the response.

    Whether a policy wants the response of an exchange is not known here: the conversation overrides the mode then.
    """
    return {
        "request_header_mode": "SEND",
        "request_body_mode": "BUFFERED" if body else "NONE",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SKIP",
        "response_body_mode": "NONE",
        "response_trailer_mode": "SKIP",
    }


def _unread_routes(settings: Settings) -> Iterable[Any]:
    """Routes of the bodies that are not read, as they are before the verdict."""
    matches = [{"prefix": f"/agents/{agent.name}/"} for agent in settings.agents]
    matches += [
        {"prefix": route.path.removesuffix("*")} if route.path.endswith("/*") else {"path": route.path}
        for route in settings.opaque
    ]
    for match in matches:
        yield piece("unread_route", path_match=match, unread_mode=processing_mode(body=False))


def _per_filter(settings: Settings, told: Iterable[str]) -> dict[str, Any] | None:
    cors = settings.listen.cors
    if cors is None:
        return None
    policy = piece(
        "cors_policy",
        allow_origins=[{"exact": origin} for origin in cors.allow_origins],
        allow_headers=", ".join(cors.allow_headers),
        expose_headers=", ".join([*piece("exposed_fields"), *told]),
        cors_max_age=str(cors.max_age),
    )
    return {"envoy.filters.http.cors": policy}


def _cluster_name(entry: UpstreamEntry | AgentEntry) -> str:
    return f"{'agent' if isinstance(entry, AgentEntry) else 'upstream'}_{entry.name}"


def _routes(entry: UpstreamEntry | AgentEntry, settings: Settings, told: Iterable[str]) -> Iterable[Any]:
    """Two routes: a streamed answer may be silent for longer than a plain one."""
    timeouts = settings.timeouts
    # Agents may stream whenever they like, so they get the longer silence.
    removes = piece("internal_fields") + ([] if isinstance(entry, AgentEntry) else piece("forwarding_fields"))
    adds = [piece("told_field", field_name=name, field_value=f"%DYNAMIC_METADATA(sluicegate:{name})%") for name in told]
    plain_idle = timeouts.stream_idle if isinstance(entry, AgentEntry) else timeouts.idle
    for flag, idle in (("1", timeouts.stream_idle), ("0", plain_idle)):
        yield piece(
            "route",
            upstream_name=entry.name,
            stream_flag=flag,
            cluster_name=_cluster_name(entry),
            host=urlsplit(entry.url).netloc,
            total_timeout=_duration(timeouts.total),
            route_idle_timeout=_duration(idle),
            route_removes=removes,
            route_adds=adds or None,
        )


def _cluster(entry: UpstreamEntry | AgentEntry, settings: Settings) -> Any:
    parts = urlsplit(entry.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    numeric = _is_ip(host)
    return piece(
        "upstream_cluster",
        cluster_name=_cluster_name(entry),
        cluster_type="STATIC" if numeric else "STRICT_DNS",
        connect_timeout=_duration(settings.timeouts.connect),
        upstream_address=host,
        upstream_port=parts.port or (443 if secure else 80),
        upstream_tls=piece(
            "upstream_tls", host_name=host, ca_file=_ca_file(), san_type="IP_ADDRESS" if numeric else "DNS"
        )
        if secure
        else None,
        # Over TLS the provider chooses HTTP/2 or 1.1 by ALPN.
        auto_config={} if secure else None,
        explicit_config=None if secure else {"http_protocol_options": {}},
        upstream_filters=_upstream_filters(entry),
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ca_file() -> str:
    return next((name for name in _CA_FILES if Path(name).exists()), _CA_FILES[0])


def _upstream_filters(entry: UpstreamEntry | AgentEntry) -> list[Any]:
    filters = [piece("codec_filter")]
    if entry.credential is not None:
        header, prefix = _credential_field(entry)
        filters.insert(
            0,
            piece(
                "credential_filter",
                secret_name=_cluster_name(entry),
                credential_header=header,
                credential_prefix=prefix,
            ),
        )
    return filters


def _credential_field(entry: UpstreamEntry | AgentEntry) -> tuple[str, str | None]:
    """The header field in which a provider takes its key, and what stands before the key."""
    provider = entry.provider if isinstance(entry, UpstreamEntry) else None
    match provider:
        case Provider.AZURE:
            return "api-key", None
        case Provider.ANTHROPIC:
            return "x-api-key", None
        case _:
            return "authorization", "Bearer "


def _secret(entry: UpstreamEntry | AgentEntry) -> Any | None:
    if entry.credential is None:
        return None
    return piece("secret", secret_name=_cluster_name(entry), secret_source=_source(entry.credential))


def _source(secret: Secret) -> dict[str, str]:
    if secret.env is not None:
        return {"environment_variable": secret.env}
    return {"filename": str(secret.file)}
