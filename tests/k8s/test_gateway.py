"""What Envoy Gateway and AI Gateway are told: each trap that a manifest can express is found, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from k8s.checks import check
from k8s.checks.gateway import octets, seconds
from tests.k8s.manifests import Document, fixture, for_envoy, one

Mutation = Callable[[list[Document]], object]


def policy(found: list[Document], name: str = "sluicegate") -> Document:
    spec: Document = one(found, "EnvoyExtensionPolicy", name)["spec"]
    return spec


def asked(found: list[Document]) -> Document:
    first: Document = policy(found)["extProc"][0]
    return first


def proxy(found: list[Document]) -> Document:
    spec: Document = one(found, "EnvoyProxy")["spec"]
    return spec


def client(found: list[Document]) -> Document:
    spec: Document = one(found, "ClientTrafficPolicy")["spec"]
    return spec


def traffic(found: list[Document]) -> Document:
    spec: Document = one(found, "BackendTrafficPolicy", "sluicegate")["spec"]
    return spec


def sinks(found: list[Document]) -> list[Any]:
    listed: list[Any] = proxy(found)["telemetry"]["accessLog"]["settings"][0]["sinks"]
    return listed


def breaker(found: list[Document]) -> Document:
    settings: Document = asked(found)["backendSettings"]["circuitBreaker"]
    return settings


def a_policy_of_a_route(found: list[Document]) -> None:
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "sluicegate"}
    metadata = {"name": "mine", "namespace": "sluicegate"}
    found.append({"kind": "EnvoyExtensionPolicy", "metadata": metadata, "spec": {"targetRefs": [ref], "wasm": [{}]}})


def on_loopback(found: list[Document]) -> None:
    one(found, "Backend", "sluicegate-openai")["spec"]["endpoints"] = [{"ip": {"address": "127.0.0.1", "port": 80}}]


def after_the_buffer(found: list[Document]) -> None:
    rule = proxy(found)["filterOrder"][0]
    rule["after"] = rule.pop("before")


VARIANTS: dict[str, tuple[str, Mutation]] = {
    "fails open": ("fails_open", lambda x: asked(x).update(failOpen=True)),
    "no timeout": ("message_timeout", lambda x: asked(x).pop("messageTimeout")),
    "short timeout": ("message_timeout", lambda x: asked(x).update(messageTimeout="1s500ms")),
    "1,024 in flight": ("circuit_breaker", lambda x: asked(x)["backendSettings"].pop("circuitBreaker")),
    "1,024 in flight, by a key": ("circuit_breaker", lambda x: breaker(x).pop("maxParallelRequests")),
    "few may wait": ("circuit_breaker", lambda x: breaker(x).update(maxPendingRequests=100)),
    "asked twice": ("retried", lambda x: asked(x)["backendSettings"].update(retry={"numRetries": 2})),
    "upstream retried": ("retried", lambda x: traffic(x).update(retry={"numRetries": 2})),
    "no override": ("no_mode_override", lambda x: asked(x)["processingMode"].pop("allowModeOverride")),
    "request unseen": ("request_unseen", lambda x: asked(x)["processingMode"].pop("request")),
    "body unseen": ("body_not_buffered", lambda x: asked(x)["processingMode"]["request"].pop("body")),
    "body in pieces": ("body_not_buffered", lambda x: asked(x)["processingMode"]["request"].update(body="Streamed")),
    "answers sent": ("answers_sent", lambda x: asked(x)["processingMode"].update(response={"body": "Buffered"})),
    "verdict lost": ("verdict_lost", lambda x: asked(x)["metadata"].pop("writableNamespaces")),
    "no guard": ("no_guard", lambda x: policy(x).pop("lua")),
    "agents without a guard": ("no_guard", lambda x: policy(x, "sluicegate-agents").pop("lua")),
    "agents pass": ("fails_open", lambda x: policy(x, "sluicegate-agents")["extProc"][0].update(failOpen=True)),
    "nobody asked": (
        "nobody_asked",
        lambda x: x.remove(one(x, "EnvoyExtensionPolicy", "sluicegate")),
    ),
    "shadowed on a route": ("policy_shadowed", a_policy_of_a_route),
    "a section alone": (
        "section_targeted",
        lambda x: policy(x, "sluicegate-agents")["targetRefs"][0].update(sectionName="rule-0"),
    ),
    "no order": ("filter_order", lambda x: proxy(x).pop("filterOrder")),
    "guard behind AI Gateway": ("filter_order", lambda x: proxy(x)["filterOrder"].pop(1)),
    "behind the buffer": ("filter_order", after_the_buffer),
    "no buffer": ("no_request_buffer", lambda x: traffic(x).pop("requestBuffer")),
    "32 KiB": ("body_limit", lambda x: client(x).pop("connection")),
    "32 KiB, written down": ("body_limit", lambda x: client(x)["connection"].update(bufferLimit="32Ki")),
    "id believed": ("request_id_believed", lambda x: client(x)["headers"].update(requestID="PreserveOrGenerate")),
    "underscores": ("underscores_pass", lambda x: client(x)["headers"].update(withUnderscoresAction="Allow")),
    "no access log": ("no_access_log", lambda x: proxy(x).pop("telemetry")),
    "log of connections": ("no_access_log", lambda x: sinks(x)[0]["als"].update(type="TCP")),
    "two access logs": ("second_access_log", lambda x: sinks(x).append(sinks(x)[0])),
    "no costs": ("no_costs", lambda x: one(x, "AIGatewayRoute", "sluicegate")["spec"].pop("llmRequestCosts")),
    "loopback": ("loopback_backend", on_loopback),
    "another namespace": (
        "reference_not_granted",
        lambda x: policy(x)["extProc"][0]["backendRefs"][0].update(namespace="elsewhere"),
    ),
    "rate limit that opens": (
        "rate_limit_fails_open",
        lambda x: traffic(x).update(rateLimit={"global": {"rules": []}}),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_trap_is_found_and_nothing_else(name: str) -> None:
    code, mutate = VARIANTS[name]
    found = for_envoy(fixture("production"))
    assert check(found) == []
    mutate(found)
    assert {one.code for one in check(found)} == {code}


def test_with_the_chart_beside_it_the_service_must_be_there() -> None:
    chart = fixture("production")
    found = for_envoy(chart)
    asked(found)["backendRefs"][0]["port"] = 50052
    assert check(found) == []
    assert [one.code for one in check([*chart, *found])] == ["backend_not_there"]


def test_a_longer_decision_needs_a_longer_timeout() -> None:
    found = for_envoy(fixture("production"))
    chart = fixture("production")
    data = one(chart, "ConfigMap")["data"]
    data["gateway.yaml"] = data["gateway.yaml"].replace("grace: 30", "grace: 30\n  decision_timeout: 9")
    assert {one.code for one in check([*chart, *found])} == {"message_timeout", "configuration_not_rolled"}


def test_standalone_resources_may_use_loopback() -> None:
    found = for_envoy(fixture("production"))
    on_loopback(found)
    proxy(found)["provider"] = {"type": "Host", "host": {}}
    assert check(found) == []


@pytest.mark.parametrize(
    ("text", "value"), [("6s", 6.0), ("1m30s", 90.0), ("200ms", 0.2), ("1h1m1s1ms", 3661.001), ("", 0.0)]
)
def test_durations_are_those_of_the_gateway_api(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"), [("50Mi", 52_428_800), (52_428_800, 52_428_800), ("1k", 1000), ("1Gi", 2**30), ("much", 0)]
)
def test_quantities_are_those_of_kubernetes(text: str | int, value: int) -> None:
    assert octets(text) == value
