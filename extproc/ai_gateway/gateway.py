"""The gateway itself: what it listens on, in which order its filters stand, what it takes from clients. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from extproc.ai_gateway.pieces import Options, duration, piece
from extproc.ai_gateway.policy_server import PolicyServer
from extproc.settings import Settings


def gateway_documents(
    settings: Settings, options: Options, server: PolicyServer, *, standalone: bool, told: Iterable[str]
) -> Iterator[Any]:
    """GatewayClass, Gateway, EnvoyProxy and ClientTrafficPolicy.

    `told`: the header fields that policies may add to answers.
    """
    metadata = options.metadata(options.name)
    yield piece("gateway_class", class_name=options.name)
    yield piece(
        "gateway",
        metadata=metadata,
        class_name=options.name,
        gateway_name=options.name,
        listener=_listener(settings, options),
    )
    yield piece(
        "envoy_proxy",
        metadata=metadata,
        provider=piece("provider_host", envoy_version=options.envoy_version)
        if standalone
        else piece("provider_kubernetes"),
        client_certificate=piece("client_certificate", policy_secret=options.policy_secret)
        if server.is_a_service and settings.server.tls is not None
        else None,
        **server.settling(),
    )
    yield _client_traffic(settings, options, told)


def _listener(settings: Settings, options: Options) -> Any:
    if settings.listen.tls is None:
        return piece("listener_plain", listen_port=settings.listen.port)
    return piece("listener_tls", listen_port=settings.listen.port, listen_secret=options.listen_secret)


def _client_traffic(settings: Settings, options: Options, told: Iterable[str]) -> Any:
    fields = [piece("told_field", field_name=name, field_value=f"%DYNAMIC_METADATA(sluicegate:{name})%") for name in told]
    return piece(
        "client_traffic_policy",
        metadata=options.metadata(options.name),
        gateway_ref=options.gateway_ref(),
        max_body_bytes=settings.max_body_bytes,
        total_timeout=duration(settings.timeouts.total),
        idle_timeout=duration(settings.timeouts.idle),
        early_removals=piece("early_removals"),
        late_fields=[piece("request_id_field"), *piece("reply_fields"), *fields],
        downstream_tls=piece("downstream_tls") if settings.listen.tls is not None else None,
    )
