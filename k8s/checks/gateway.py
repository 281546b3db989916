"""Whether Envoy Gateway and AI Gateway are told to ask the policy server first, and to let nothing pass without it. Pure.

For the resources of `sluicegate render ai-gateway`, or others that are to do the same. Versions: Envoy Gateway 1.8,
Envoy AI Gateway 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from k8s.checks.documents import Document, Documents, at, items, where
from k8s.checks.finding import Finding, Severity

_POLICY: Final = "envoy.filters.http.ext_proc"
_BUFFER: Final = "envoy.filters.http.buffer"
_LUA: Final = "envoy.filters.http.lua"
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZES: Final = {"": 1, "k": 1000, "Ki": 1024, "M": 1000**2, "Mi": 1024**2, "G": 1000**3, "Gi": 1024**3}
_MOST: Final = 1024
"""Envoy's default of what a cluster may have in flight: each exchange is one of the policy server's."""
_BODY: Final = 32 * 1024
"""Envoy Gateway's default of what is buffered."""


def check_gateway(documents: Documents, decision_timeout: float) -> Iterator[Finding]:
    """Of all resources. `decision_timeout`: seconds, of the configuration."""
    if not documents.of("Gateway"):
        return
    policies = [one for one in documents.of("EnvoyExtensionPolicy") if items(one, "spec", "extProc")]
    gateways = [one for one in policies if "Gateway" in _targets(one)]
    for gateway in documents.of("Gateway"):
        if not gateways:
            what = "no EnvoyExtensionPolicy on the Gateway asks the policy server: everything passes"
            yield Finding("nobody_asked", where(gateway), what)
    for policy in policies:
        for asked in items(policy, "spec", "extProc"):
            yield from _asked(policy, asked, decision_timeout)
    yield from _shadowing(documents)
    yield from _order(documents)
    yield from _traffic(documents)
    yield from _log(documents)
    yield from _backends(documents)
    for route in documents.of("AIGatewayRoute"):
        if not items(route, "spec", "llmRequestCosts"):
            yield Finding("no_costs", where(route), "AI Gateway counts no tokens: set llmRequestCosts")


def _targets(policy: Document) -> set[str]:
    refs = [*items(policy, "spec", "targetRefs"), *items(policy, "spec", "targetSelectors")]
    return {ref.get("kind") for ref in refs if not ref.get("sectionName")}


def _asked(policy: Document, asked: Any, decision_timeout: float) -> Iterator[Finding]:
    here = where(policy)
    if asked.get("failOpen"):
        yield Finding("fails_open", here, "without the policy server everything passes: failOpen: false")
    timeout = asked.get("messageTimeout")
    if timeout is None or seconds(timeout) < decision_timeout:
        what = f"Envoy waits {timeout or '200ms'} for a decision that may take {decision_timeout:g} s: messageTimeout"
        yield Finding("message_timeout", here, what)
    breaker = at(asked, "backendSettings", "circuitBreaker") or {}
    if any(breaker.get(key, _MOST) <= _MOST for key in ("maxParallelRequests", "maxPendingRequests")):
        yield Finding(
            "circuit_breaker", here, f"no more than {_MOST} requests can be in flight: raise the circuit breaker"
        )
    if at(asked, "backendSettings", "retry"):
        yield Finding("retried", here, "a decision that is asked for twice reserves twice: no retry")
    mode = asked.get("processingMode") or {}
    if not mode.get("allowModeOverride"):
        yield Finding("no_mode_override", here, "a policy that wants to read answers cannot: allowModeOverride")
    body = at(mode, "request", "body")
    if mode.get("request") is None:
        yield Finding("request_unseen", here, "the policy server is not shown requests: processingMode.request")
    elif body not in (None, "Buffered") or (body is None and "Gateway" in _targets(policy)):
        yield Finding("body_not_buffered", here, f"the body is {body or 'not sent'}: it is judged whole: Buffered")
    if mode.get("response") is not None:
        what = "answers cross the policy server, which asks for those that it wants: no processingMode.response"
        yield Finding("answers_sent", here, what)
    if "sluicegate" not in items(asked, "metadata", "writableNamespaces"):
        what = "the verdict's metadata is thrown away: writableNamespaces: [sluicegate]"
        yield Finding("verdict_lost", here, what)
    if not items(policy, "spec", "lua"):
        what = "a policy server that closes its stream politely lets everything pass, and nothing is metered: lua"
        yield Finding("no_guard", here, what)


def _shadowing(documents: Documents) -> Iterator[Finding]:
    """In Envoy Gateway 1.8 the most specific policy counts, whole: one on a route is the only one there."""
    for policy in documents.of("EnvoyExtensionPolicy"):
        if not items(policy, "spec", "extProc"):
            yield Finding(
                "policy_shadowed", where(policy), "there it stands in place of the policy that asks: add extProc"
            )
        for ref in items(policy, "spec", "targetRefs"):
            if ref.get("sectionName"):
                what = (
                    "the filter is chosen before AI Gateway knows the model's route, and never runs: target the Gateway"
                )
                yield Finding("section_targeted", where(policy), what)


def _order(documents: Documents) -> Iterator[Finding]:
    proxies = [
        one for one in documents.of("EnvoyProxy") if at(one, "spec", "telemetry") or items(one, "spec", "filterOrder")
    ]
    for proxy in proxies:
        order = items(proxy, "spec", "filterOrder")
        for name in (_POLICY, _LUA):
            if not any(rule.get("name") == name and rule.get("before") == _BUFFER for rule in order):
                what = f"AI Gateway stands before {name}: order it before {_BUFFER}"
                yield Finding("filter_order", where(proxy), what)
    buffered = [
        one
        for one in documents.of("BackendTrafficPolicy")
        if at(one, "spec", "requestBuffer", "limit") and "Gateway" in _targets(one)
    ]
    if not buffered:
        for gateway in documents.of("Gateway"):
            what = (
                "without a buffer filter AI Gateway comes first: a BackendTrafficPolicy with requestBuffer on the Gateway"
            )
            yield Finding("no_request_buffer", where(gateway), what)


def _traffic(documents: Documents) -> Iterator[Finding]:
    for policy in documents.of("BackendTrafficPolicy"):
        if at(policy, "spec", "retry"):
            yield Finding("retried", where(policy), "a retry spends twice what was reserved once: no retry")
        limits = at(policy, "spec", "rateLimit", "global")
        if limits is not None and not limits.get("failClosed"):
            what = "its rate limit lets everything pass while its service is away"
            yield Finding("rate_limit_fails_open", where(policy), what, Severity.WARNING)
    clients = [one for one in documents.of("ClientTrafficPolicy") if "Gateway" in _targets(one)]
    if not any(octets(at(one, "spec", "connection", "bufferLimit") or 0) > _BODY for one in clients):
        for gateway in documents.of("Gateway"):
            what = "bodies above 32 KiB get 413: connection.bufferLimit in a ClientTrafficPolicy"
            yield Finding("body_limit", where(gateway), what)
    for client in clients:
        headers = at(client, "spec", "headers") or {}
        if headers.get("requestID") not in ("Generate", "Disable"):
            what = "a client chooses the id under which it is on record: requestID: Generate"
            yield Finding("request_id_believed", where(client), what)
        if headers.get("withUnderscoresAction") not in ("RejectRequest", "DropHeader"):
            what = "x_tenant_id is x-tenant-id to some servers: withUnderscoresAction: RejectRequest"
            yield Finding("underscores_pass", where(client), what)


def _log(documents: Documents) -> Iterator[Finding]:
    for proxy in documents.of("EnvoyProxy"):
        if not items(proxy, "spec", "filterOrder") and not at(proxy, "spec", "telemetry"):
            # One that only describes pods, and is merged with another.
            continue
        sinks = [
            sink
            for setting in items(proxy, "spec", "telemetry", "accessLog", "settings")
            for sink in items(setting, "sinks")
            if sink.get("type") == "ALS"
        ]
        if not any(at(sink, "als", "type") == "HTTP" for sink in sinks):
            what = "no request is settled: an access log of type ALS, HTTP, to the policy server"
            yield Finding("no_access_log", where(proxy), what)
        if len(sinks) > 1:
            yield Finding("second_access_log", where(proxy), "each request may be settled twice", Severity.WARNING)


def _backends(documents: Documents) -> Iterator[Finding]:
    in_cluster = not any(at(one, "spec", "provider", "type") == "Host" for one in documents.of("EnvoyProxy"))
    for backend in documents.of("Backend"):
        for endpoint in items(backend, "spec", "endpoints"):
            address = str(at(endpoint, "ip", "address") or at(endpoint, "fqdn", "hostname") or "")
            if in_cluster and (address.startswith("127.") or address in ("localhost", "::1")):
                yield Finding("loopback_backend", where(backend), f"{address} is refused in a cluster")
    granted = {at(one, "metadata", "namespace") for one in documents.of("ReferenceGrant")}
    for policy in documents.of("EnvoyExtensionPolicy"):
        for asked in items(policy, "spec", "extProc"):
            for ref in items(asked, "backendRefs"):
                namespace = ref.get("namespace")
                if namespace not in (None, at(policy, "metadata", "namespace")) and namespace not in granted:
                    what = f"a backend in {namespace} needs a ReferenceGrant there: every request gets 500"
                    yield Finding("reference_not_granted", where(policy), what)
                yield from _service_of(documents, policy, ref)


def _service_of(documents: Documents, policy: Document, ref: Any) -> Iterator[Finding]:
    if ref.get("kind", "Service") != "Service" or not documents.of("Service"):
        return
    service = documents.named("Service", ref.get("name"), ref.get("namespace") or at(policy, "metadata", "namespace"))
    if service is None or ref.get("port") not in [port.get("port") for port in items(service, "spec", "ports")]:
        what = f"there is no Service {ref.get('name')} with port {ref.get('port')}: every request gets 500"
        yield Finding("backend_not_there", where(policy), what)


def seconds(duration: str) -> float:
    """Seconds of a duration of the Gateway API (GEP-2257): `1m30s`."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(h|ms|m|s)", duration))


def octets(quantity: str | int) -> int:
    """Bytes of a quantity of Kubernetes: `50Mi`; 0 for what is none."""
    found = re.fullmatch(r"(\d+)([A-Za-z]*)", str(quantity))
    return int(found[1]) * _SIZES.get(found[2], 0) if found else 0
