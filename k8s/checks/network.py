"""Who can reach whom: the policy server, the agents behind it, the inner ports of AI Gateway; and by what. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from k8s.checks.documents import Document, Documents, Served, at, fits, items, where
from k8s.checks.finding import Finding, Severity

INNER: Final = frozenset({1061, 1063, 1064, 9856, 10088, 18000, 18001, 18002, 19000})
"""Ports of Envoy's pods that are nobody's but their own: AI Gateway's MCP proxy on all interfaces (9856), its metrics
(1064), its extension server and backend listener, Envoy Gateway's xDS, Envoy's admin. What comes in by 9856 has met no
policy."""
_METRICS: Final = 1064
OWNER: Final = "gateway.envoyproxy.io/owning-gateway-name"
"""The label of Envoy's pods that names their Gateway."""


def check_network(documents: Documents, one: Served) -> Iterator[Finding]:
    """Of one policy server, and of what stands behind the same Envoy."""
    if one.is_on_the_network:
        yield from _verdicts(documents, one)
        yield from _transport(one)
        yield from _service(documents, one)
    yield from _envoy(documents, one)
    yield from _agents(documents, one)


def _of(documents: Documents, namespace: Any, labels: Any) -> list[Document]:
    """The policies that bear on what comes in to these pods."""
    return [
        policy
        for policy in documents.of("NetworkPolicy")
        if at(policy, "metadata", "namespace") == namespace
        and fits(at(policy, "spec", "podSelector"), labels)
        and "Ingress" in (items(policy, "spec", "policyTypes") or ["Ingress"])
    ]


def _takes(rule: Any, port: int) -> bool:
    """Whether an ingress rule lets something in to this port. A port by its name may be any."""
    ports = items(rule, "ports")
    return not ports or any(_covers(one, port) for one in ports)


def _covers(entry: Any, port: int) -> bool:
    first = entry.get("port")
    if not isinstance(first, int):
        return True
    return first <= port <= int(entry.get("endPort", first))


def _verdicts(documents: Documents, one: Served) -> Iterator[Finding]:
    policies = _of(documents, one.pod.namespace, one.pod.labels)
    port = int(str(one.server("listen")).rpartition(":")[2])
    severity = Severity.WARNING if one.server("tls") else Severity.ERROR
    if not policies:
        what = "no NetworkPolicy: whoever reaches the port can ask for verdicts and write completions"
        yield Finding("verdicts_for_all", one.where, what, severity)
    for policy in policies:
        for rule in items(policy, "spec", "ingress"):
            peers = items(rule, "from")
            if _takes(rule, port) and not (peers and all(_is_envoy(peer) for peer in peers)):
                yield Finding("verdicts_for_all", where(policy), f"others than Envoy reach port {port}", severity)


def _is_envoy(peer: Any) -> bool:
    return OWNER in (at(peer, "podSelector", "matchLabels") or {})


def _transport(one: Served) -> Iterator[Finding]:
    tls = one.server("tls")
    if not tls:
        what = "Envoy asks it without TLS: identities and prompts cross the network in the clear"
        yield Finding("not_encrypted", one.where, what, Severity.WARNING)
        return
    if not items(tls, "client_names"):
        what = "any certificate of the authority may ask for verdicts: name Envoy's in client_names"
        yield Finding("any_client", one.where, what, Severity.WARNING)
    for key in ("certificate", "key", "client_ca"):
        held = one.pod.volume(one.container, str(tls.get(key)))
        if held is None:
            yield Finding("certificate_not_mounted", one.where, f"server.tls.{key} is on no volume: it does not start")
        elif held[0].get("subPath"):
            yield Finding(
                "certificate_never_renewed", one.where, f"server.tls.{key} is mounted by subPath: it stays as it is"
            )


def _service(documents: Documents, one: Served) -> Iterator[Finding]:
    names = {port.get("name"): port.get("containerPort") for port in items(one.container, "ports")}
    listened = int(str(one.server("listen")).rpartition(":")[2])
    led = [
        names.get(target, target)
        for service in documents.of("Service")
        if at(service, "metadata", "namespace") == one.pod.namespace
        and fits({"matchLabels": at(service, "spec", "selector")}, one.pod.labels)
        for port in items(service, "spec", "ports")
        for target in [port.get("targetPort", port.get("port"))]
    ]
    if listened not in led:
        yield Finding("no_service", one.where, f"no Service leads to port {listened}: Envoy never finds it")


def _envoy(documents: Documents, one: Served) -> Iterator[Finding]:
    policies = [
        policy
        for policy in documents.of("NetworkPolicy")
        if OWNER in (at(policy, "spec", "podSelector", "matchLabels") or {})
    ]
    if not policies:
        what = "no NetworkPolicy for Envoy's pods: AI Gateway's port 9856 takes MCP calls past every policy"
        yield Finding("inner_ports_open", one.where, what)
    for policy in policies:
        for rule in items(policy, "spec", "ingress"):
            # Prometheus may ask for AI Gateway's metrics.
            closed = INNER - {_METRICS} if items(rule, "from") and items(rule, "ports") else INNER
            if opened := sorted(port for port in closed if _takes(rule, port)):
                what = f"inner ports are open: {', '.join(map(str, opened))}"
                yield Finding("inner_ports_open", where(policy), what)


def _agents(documents: Documents, one: Served) -> Iterator[Finding]:
    """Agents in the cluster must be Envoy's alone: who asks them otherwise is judged by nobody."""
    for agent in items(one.tree, "agents"):
        _, _, after = (urlsplit(str(agent.get("url"))).hostname or "").partition(".")
        namespace, _, rest = after.partition(".")
        if not rest.startswith("svc"):
            continue
        guarding = [
            policy
            for policy in documents.of("NetworkPolicy")
            if at(policy, "metadata", "namespace") == namespace and _is_for_envoy_alone(policy)
        ]
        if not guarding:
            what = f"agent {agent.get('name')}: no NetworkPolicy in {namespace} keeps others than Envoy away from it"
            yield Finding("agent_for_all", one.where, what)


def _is_for_envoy_alone(policy: Document) -> bool:
    rules = items(policy, "spec", "ingress")
    return bool(rules) and all(
        items(rule, "from") and all(_is_envoy(peer) for peer in items(rule, "from")) for rule in rules
    )
