"""Who reaches whom: each hole in the network is found, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from k8s.checks import Severity, check
from tests.k8s.manifests import Document, fixture, one
from tests.k8s.test_checks import edited, mount_by_sub_path, without

Mutation = Callable[[list[Document]], object]


def rules(found: list[Document], name: str) -> list[Any]:
    ingress: list[Any] = one(found, "NetworkPolicy", name)["spec"]["ingress"]
    return ingress


def to_port(found: list[Document], **port: Any) -> None:
    rules(found, "sluicegate-envoy")[0]["ports"].append({"protocol": "TCP", **port})


VARIANTS: dict[str, tuple[str, Mutation]] = {
    "verdicts for all": ("verdicts_for_all", lambda x: without(x, "NetworkPolicy", "sluicegate-policy")),
    "verdicts for a namespace": (
        "verdicts_for_all",
        lambda x: rules(x, "sluicegate-policy")[0]["from"].append({"namespaceSelector": {}}),
    ),
    "verdicts from anywhere": ("verdicts_for_all", lambda x: rules(x, "sluicegate-policy")[0].pop("from")),
    "a policy of others": (
        "verdicts_for_all",
        lambda x: one(x, "NetworkPolicy", "sluicegate-policy")["metadata"].update(namespace="other"),
    ),
    "Envoy's pods unguarded": ("inner_ports_open", lambda x: without(x, "NetworkPolicy", "sluicegate-envoy")),
    "MCP proxy": ("inner_ports_open", lambda x: to_port(x, port=9856)),
    "metrics of AI Gateway": ("inner_ports_open", lambda x: to_port(x, port=1064)),
    "a range over it": ("inner_ports_open", lambda x: to_port(x, port=9000, endPort=9999)),
    "a port by its name": ("inner_ports_open", lambda x: to_port(x, port="mcp")),
    "all ports": ("inner_ports_open", lambda x: rules(x, "sluicegate-envoy")[0].pop("ports")),
    "agent unguarded": ("agent_for_all", lambda x: without(x, "NetworkPolicy", "sluicegate-agent-kb")),
    "agent for its neighbours": (
        "agent_for_all",
        lambda x: rules(x, "sluicegate-agent-kb")[0]["from"].append({"podSelector": {}}),
    ),
    "agent for all": ("agent_for_all", lambda x: rules(x, "sluicegate-agent-kb")[0].pop("from")),
    "certificate that stays": ("certificate_never_renewed", mount_by_sub_path),
    "certificate elsewhere": (
        "certificate_not_mounted",
        lambda x: edited(x, "client_ca: /etc/sluicegate/tls/ca.crt", "client_ca: /etc/ssl/ca.crt"),
    ),
    "any client": ("any_client", lambda x: edited(x, "client_names:\n    - sluicegate-envoy", "client_names: []")),
    "no Service": ("no_service", lambda x: without(x, "Service", "sluicegate-policy")),
    "Service of others": (
        "no_service",
        lambda x: one(x, "Service", "sluicegate-policy")["spec"]["selector"].update(app="other"),
    ),
    "Service to another port": (
        "no_service",
        lambda x: one(x, "Service", "sluicegate-policy")["spec"]["ports"][0].update(targetPort=50052),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_hole_is_found_and_nothing_else(name: str) -> None:
    code, mutate = VARIANTS[name]
    found = fixture("production")
    mutate(found)
    assert {one.code for one in check(found)} == {code}


def test_prometheus_may_ask_for_the_metrics_of_ai_gateway() -> None:
    found = fixture("production")
    (of_clients, of_prometheus) = rules(found, "sluicegate-envoy")
    assert "from" not in of_clients
    of_prometheus["ports"].append({"protocol": "TCP", "port": 1064})
    assert check(found) == []


def in_the_clear(found: list[Document]) -> None:
    text = one(found, "ConfigMap")["data"]["gateway.yaml"]
    begin = text.index("  tls:\n    certificate")
    end = text.index("  workers:")
    edited(found, text[begin:end], "")


def test_without_tls_a_network_policy_is_all_there_is_and_must_be() -> None:
    found = fixture("production")
    in_the_clear(found)
    assert [(one.code, one.severity) for one in check(found)] == [("not_encrypted", Severity.WARNING)]
    without(found, "NetworkPolicy", "sluicegate-policy")
    assert ("verdicts_for_all", Severity.ERROR) in [(one.code, one.severity) for one in check(found)]


def test_an_agent_outside_the_cluster_is_not_ours_to_guard() -> None:
    found = fixture("production")
    without(found, "NetworkPolicy", "sluicegate-agent-kb")
    edited(found, "http://kb.agents.svc.cluster.local:8000", "https://kb.example")
    assert check(found) == []
