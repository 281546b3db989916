"""How Envoy reaches the policy server: the extension policies, and where the access log goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from extproc.addresses import is_everywhere, is_ip
from extproc.ai_gateway.pieces import Options, duration, piece
from extproc.envoy_data import data_directory
from extproc.settings import Settings

SCRIPTS: Final = ("guard.lua", "usage.lua", "replies.lua")
"""In the order of requests; answers meet them from the last to the first."""
_SECONDS_BEYOND: Final = 1.0
"""How much longer Envoy waits than the policy server takes to decide: the server's own refusal says more."""
_GROUP: Final = "gateway.envoyproxy.io"
_HELD: Final = "4Mi"
"""What Envoy holds of its access log while settlement is busy: as much as in the plain profile. Once that is full, the
log has 16 KiB of its own, for which Envoy Gateway has no field, and drops what is more."""


class PolicyServer:
    """Where the policy server is, as Envoy Gateway names it.

    Standalone, and as a sidecar that listens on a unix socket, it is a Backend; in a cluster otherwise it is a Service,
    whose endpoints Envoy Gateway follows.
    """

    def __init__(self, settings: Settings, options: Options, *, standalone: bool) -> None:
        self._settings, self._options = settings, options
        placed = settings.server.placement()
        self._deciding, self._settling = placed.deciding, placed.settling
        self._settles_apart = settings.server.workers > 1
        self._service = not standalone and not settings.server.listen.startswith("unix:")

    @property
    def is_a_service(self) -> bool:
        return self._service

    def documents(self) -> Iterator[Any]:
        """The Backends; with a Service and `server.tls`, how its certificate is judged."""
        if not self._service:
            yield self._backend("policy", self._deciding)
            if self._settles_apart:
                yield self._backend("settlement", (self._settling,))
        elif self._settings.server.tls is not None:
            yield piece(
                "policy_tls",
                metadata=self._options.metadata(self._options.policy_service),
                target_name=self._options.policy_service,
                policy_secret=self._options.policy_secret,
                host_name=self._settings.server.tls.envoy.server_name,
            )

    def deciding(self) -> dict[str, Any]:
        """Who decides, and how Envoy speaks to it: for `extProc`."""
        several = len(self._deciding) > 1 or self._service
        manners = _manners("1Mi", several=several)
        return {"policy_refs": self._refs("policy", self._deciding), "policy_backend": manners}

    def settling(self) -> dict[str, Any]:
        """Who takes the access log: for EnvoyProxy."""
        role = "settlement" if self._settles_apart else "policy"
        refs = self._refs(role, (self._settling,))
        return {"settlement_refs": refs, "settlement_backend": _manners(_HELD, several=False)}

    def _backend(self, role: str, addresses: Iterable[str]) -> Any:
        return piece(
            "backend",
            metadata=self._options.metadata(self._name(role)),
            endpoints=[_endpoint(address) for address in addresses],
        )

    def _refs(self, role: str, addresses: Iterable[str]) -> list[dict[str, Any]]:
        if not self._service:
            return [{"group": _GROUP, "kind": "Backend", "name": self._name(role)}]
        ports = [int(address.rpartition(":")[2]) for address in addresses]
        return [{"group": "", "kind": "Service", "name": self._options.policy_service, "port": port} for port in ports]

    def _name(self, role: str) -> str:
        return f"{self._options.name}-{role}"


def extension_policy(
    settings: Settings,
    options: Options,
    server: PolicyServer,
    *,
    name: str,
    body: bool,
    target_refs: list[dict[str, Any]],
) -> Any:
    """Our filters, on what `target_refs` name. `body`: whether request bodies are read there."""
    return piece(
        "extension_policy",
        metadata=options.metadata(name),
        target_refs=target_refs,
        lua=[piece("lua", source=source) for source in _scripts()],
        message_timeout=duration(settings.server.decision_timeout + _SECONDS_BEYOND),
        request_mode=piece("body_is_read" if body else "body_is_unread"),
        **server.deciding(),
    )


def _scripts() -> Iterator[str]:
    for name in SCRIPTS:
        yield (data_directory() / name).read_text("utf-8")
    yield piece("address_script")


def _manners(held: str, *, several: bool) -> Any:
    """How Envoy speaks to the policy server. `held`: how much it holds of what is not taken; `several`: it chooses among
    processes, and asks each whether it is well."""
    return piece(
        "policy_settings",
        policy_buffer=held,
        policy_balancing=piece("least_request") if several else None,
        policy_checks=piece("policy_checks") if several else None,
    )


def _endpoint(address: str) -> Mapping[str, Any]:
    """A Backend's endpoint for `unix:/path` or `host:port`: where to connect to what listens there."""
    if address.startswith("unix:"):
        return {"unix": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if is_everywhere(address) else host.strip("[]")
    if is_ip(host):
        return {"ip": {"address": host, "port": int(port)}}
    return {"fqdn": {"hostname": host, "port": int(port)}}
