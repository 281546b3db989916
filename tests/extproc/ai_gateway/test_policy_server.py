"""How Envoy reaches the policy server: never open, never at Envoy's defaults."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.ai_gateway.policy_server import SCRIPTS
from extproc.ai_gateway.resources import Options
from extproc.envoy_data import data_directory
from tests.extproc.ai_gateway.configured import documents, of_kind

BACKEND = {"group": "gateway.envoyproxy.io", "kind": "Backend"}
SOCKET = {"listen": "unix:/run/sg/policy.sock"}
SERVICE = {"listen": "0.0.0.0:50051"}
TLS = {
    "certificate": "/s/tls.crt",
    "key": "/s/tls.key",
    "client_ca": "/s/ca.crt",
    "envoy": {
        "certificate": "/e/tls.crt",
        "key": "/e/tls.key",
        "ca": "/e/ca.crt",
        "server_name": "policy.sg",
        "host": "p.sg",
    },
}


def service(*ports: int) -> list[dict[str, Any]]:
    return [{"group": "", "kind": "Service", "name": "sluicegate-policy", "port": port} for port in ports]


def log(found: dict[tuple[str, str], Any]) -> dict[str, Any]:
    settings = found["EnvoyProxy", "sluicegate"]["spec"]["telemetry"]["accessLog"]["settings"]
    assert len(settings) == 1
    assert settings[0]["type"] == "Route"
    (sink,) = settings[0]["sinks"]
    assert sink["type"] == "ALS"
    found_log: dict[str, Any] = sink["als"]
    return found_log


def ext_proc(found: dict[tuple[str, str], Any], name: str = "sluicegate") -> dict[str, Any]:
    (entry,) = found["EnvoyExtensionPolicy", name]["spec"]["extProc"]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize("standalone", [False, True])
def test_one_process_on_a_socket_decides_and_settles(standalone: bool) -> None:
    found = documents(standalone=standalone, server=SOCKET)
    backends = of_kind(found, "Backend")
    assert backends["sluicegate-policy"] == {"endpoints": [{"unix": {"path": "/run/sg/policy.sock"}}]}
    assert "sluicegate-settlement" not in backends
    assert ext_proc(found)["backendRefs"] == log(found)["backendRefs"] == [{**BACKEND, "name": "sluicegate-policy"}]
    # One alone is asked whether it is well or not.
    assert "healthCheck" not in ext_proc(found)["backendSettings"]


def test_several_processes_decide_and_one_settles() -> None:
    found = documents(standalone=True, server={**SOCKET, "workers": 2})
    backends = of_kind(found, "Backend")
    assert backends["sluicegate-policy"]["endpoints"] == [
        {"unix": {"path": "/run/sg/policy.1.sock"}},
        {"unix": {"path": "/run/sg/policy.2.sock"}},
    ]
    assert backends["sluicegate-settlement"]["endpoints"] == [{"unix": {"path": "/run/sg/policy.settle.sock"}}]
    assert log(found)["backendRefs"] == [{**BACKEND, "name": "sluicegate-settlement"}]
    manners = ext_proc(found)["backendSettings"]
    assert manners["loadBalancer"] == {"type": "LeastRequest"}
    assert manners["healthCheck"]["active"]["type"] == "GRPC"
    assert manners["healthCheck"]["panicThreshold"] == 1
    assert "healthCheck" not in log(found)["backendSettings"]


def test_in_a_cluster_it_is_a_service() -> None:
    found = documents(server=SERVICE)
    assert not {name for name in of_kind(found, "Backend") if name.endswith(("-policy", "-settlement"))}
    assert ext_proc(found)["backendRefs"] == log(found)["backendRefs"] == service(50051)
    # There may be several of it.
    assert "healthCheck" in ext_proc(found)["backendSettings"]


def test_each_process_of_a_service_has_its_port() -> None:
    found = documents(server={**SERVICE, "workers": 2}, options=Options(policy_service="sluicegate-policy"))
    assert ext_proc(found)["backendRefs"] == service(50051, 50052)
    assert log(found)["backendRefs"] == service(50053)


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [
        ("127.0.0.1:50051", {"ip": {"address": "127.0.0.1", "port": 50051}}),
        ("0.0.0.0:50051", {"ip": {"address": "127.0.0.1", "port": 50051}}),
        ("localhost:50051", {"fqdn": {"hostname": "localhost", "port": 50051}}),
    ],
)
def test_standalone_it_may_listen_on_a_port(listen: str, endpoint: dict[str, Any]) -> None:
    found = documents(standalone=True, server={"listen": listen})
    assert of_kind(found, "Backend")["sluicegate-policy"] == {"endpoints": [endpoint]}


def test_mutual_tls() -> None:
    found = documents(server={**SERVICE, "tls": TLS})
    assert found["EnvoyProxy", "sluicegate"]["spec"]["backendTLS"] == {
        "clientCertificateRef": {"name": "sluicegate-envoy-tls"}
    }
    assert of_kind(found, "BackendTLSPolicy")["sluicegate-policy"] == {
        "targetRefs": [{"group": "", "kind": "Service", "name": "sluicegate-policy"}],
        "validation": {
            "caCertificateRefs": [{"group": "", "kind": "Secret", "name": "sluicegate-envoy-tls"}],
            "hostname": "policy.sg",
        },
    }
    assert "backendTLS" not in documents(server=SERVICE)["EnvoyProxy", "sluicegate"]["spec"]


@pytest.mark.parametrize("name", ["sluicegate", "sluicegate-agents"])
@pytest.mark.parametrize("standalone", [False, True])
def test_nothing_passes_without_a_verdict(name: str, standalone: bool) -> None:
    found = documents(standalone=standalone, server={**SOCKET, "decision_timeout": 2})
    entry = ext_proc(found, name)
    assert entry["failOpen"] is False
    # A second longer than the policy server takes, so that the refusal is its own.
    assert entry["messageTimeout"] == "3s"
    assert entry["metadata"] == {"writableNamespaces": ["sluicegate"]}
    assert entry["processingMode"]["allowModeOverride"] is True
    assert "response" not in entry["processingMode"]
    breaker = entry["backendSettings"]["circuitBreaker"]
    assert min(breaker.values()) > 1024
    assert "retry" not in entry["backendSettings"]
    # The guard is the first of the scripts.
    sources = [script["inline"] for script in found["EnvoyExtensionPolicy", name]["spec"]["lua"]]
    assert sources[: len(SCRIPTS)] == [(data_directory() / script).read_text("utf-8") for script in SCRIPTS]
    assert SCRIPTS[0] == "guard.lua"


def test_bodies_are_read_but_for_those_of_agents() -> None:
    found = documents()
    assert ext_proc(found)["processingMode"]["request"] == {"body": "Buffered"}
    assert ext_proc(found, "sluicegate-agents")["processingMode"]["request"] == {}
    targets = found["EnvoyExtensionPolicy", "sluicegate-agents"]["spec"]["targetRefs"]
    assert [(target["kind"], target["name"]) for target in targets] == [("HTTPRoute", "sluicegate-agent-kb")]
    # Ours is on the Gateway: on a route it would be chosen by the first match, which is never a call's.
    assert [target["kind"] for target in found["EnvoyExtensionPolicy", "sluicegate"]["spec"]["targetRefs"]] == ["Gateway"]


def test_a_providers_requests_lose_the_clients_address() -> None:
    sources = [script["inline"] for script in documents()["EnvoyExtensionPolicy", "sluicegate"]["spec"]["lua"]]
    assert 'remove("x-envoy-external-address")' in sources[-1]
