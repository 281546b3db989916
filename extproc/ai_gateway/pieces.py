"""What the documents of the AI Gateway profile have in common: their data, their names, how values are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from extproc.envoy_data import fill, load
from extproc.settings import AgentEntry, UpstreamEntry

API_KEY: Final = "apiKey"
"""The key under which AI Gateway looks for a provider's key in a Secret."""

_MCP_PREFIX: Final = "ai-eg-mcp-"


@dataclass(frozen=True, slots=True)
class Options:
    """What the configuration does not say.

    Attributes:
        name: of the Gateway; every other resource is called by it, or by it and what it is for.
        namespace: of them all.
        envoy_version: standalone only: the version of Envoy that `aigw` looks for.
        policy_service: the Service of the policy server in a cluster, where it listens on `host:port`.
        policy_secret: with `server.tls`: what Envoy shows to and expects of the policy server (`tls.crt`, `tls.key`,
            `ca.crt`: cert-manager's form).
        listen_secret: with `listen.tls`: what Envoy shows to clients (`tls.crt`, `tls.key`).
    """

    name: str = "sluicegate"
    namespace: str = "default"
    envoy_version: str = "1.40.0"
    policy_service: str = "sluicegate-policy"
    policy_secret: str = "sluicegate-envoy-tls"  # noqa: S105
    listen_secret: str = "sluicegate-listen-tls"  # noqa: S105

    def metadata(self, name: str, **more: Any) -> dict[str, Any]:
        """The metadata of a resource."""
        return {"name": name, "namespace": self.namespace, **more}

    def upstream(self, entry: UpstreamEntry) -> str:
        """The name of everything that is one upstream's: AI Gateway's metadata says it after the namespace."""
        return f"{self.name}-{kubernetes_name(entry.name)}"

    def agent(self, entry: AgentEntry, *, standalone: bool) -> str:
        """The name of everything that is one agent's.

        Standalone, AI Gateway puts its own filter on every route, which answers 404 to what is no call to a provider,
        but for routes that are called as those of its MCP gateway are.
        """
        return f"{_MCP_PREFIX if standalone else f'{self.name}-'}agent-{kubernetes_name(entry.name)}"

    def gateway_ref(self) -> dict[str, str]:
        """How a policy names the Gateway."""
        return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": self.name}


def piece(name: str, **values: Any) -> Any:
    """The part of the AI Gateway profile of this name, filled in."""
    return fill(load("ai-gateway.yaml")[name], values)


def kubernetes_name(name: str) -> str:
    """A configured name as part of a resource's (RFC 1123): no `_`, and a letter or digit at the end."""
    return name.replace("_", "-").rstrip("-")


def duration(seconds: float) -> str:
    """A duration of the Gateway API (GEP-2257): whole numbers only, of five digits at most."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000 == 0:
        return f"{milliseconds // 1000}s"
    # Seconds and what is left, because 99,999 ms are less than two minutes.
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole}s{rest}ms" if whole else f"{rest}ms"
