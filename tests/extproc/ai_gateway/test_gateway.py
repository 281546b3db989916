"""The gateway itself: what it listens on, the order of its filters, what it takes from clients."""

from __future__ import annotations

from typing import Any

from extproc.ai_gateway.resources import Options
from tests.extproc.ai_gateway.configured import documents

EXT_PROC, LUA, BUFFER = (f"envoy.filters.http.{name}" for name in ("ext_proc", "lua", "buffer"))


def client_traffic(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = documents(**changes)["ClientTrafficPolicy", "sluicegate"]["spec"]
    return spec


def test_our_filters_stand_before_the_buffer_behind_which_ai_gateway_puts_itself() -> None:
    found = documents()
    order = found["EnvoyProxy", "sluicegate"]["spec"]["filterOrder"]
    before = [position["name"] for position in order if position.get("before") == BUFFER]
    assert before.index(EXT_PROC) < before.index(LUA)
    # There is a buffer on every route of calls: without one AI Gateway would come first.
    assert found["BackendTrafficPolicy", "sluicegate"]["spec"]["targetRefs"][0]["kind"] == "Gateway"
    assert found["BackendTrafficPolicy", "sluicegate"]["spec"]["requestBuffer"]


def test_listeners() -> None:
    (plain,) = documents(listen={"port": 8181})["Gateway", "sluicegate"]["spec"]["listeners"]
    assert (plain["protocol"], plain["port"]) == ("HTTP", 8181)
    tls = {"certificate": "/l/tls.crt", "key": "/l/tls.key"}
    found = documents(listen={"port": 8443, "tls": tls}, options=Options(listen_secret="front"))
    (secure,) = found["Gateway", "sluicegate"]["spec"]["listeners"]
    assert (secure["protocol"], secure["tls"]) == ("HTTPS", {"mode": "Terminate", "certificateRefs": [{"name": "front"}]})
    assert found["ClientTrafficPolicy", "sluicegate"]["spec"]["tls"]["minVersion"] == "1.2"
    assert "tls" not in client_traffic()


def test_envoy_is_the_clusters_or_this_machines() -> None:
    spec = documents(standalone=True, options=Options(envoy_version="1.38.3"))["EnvoyProxy", "sluicegate"]["spec"]
    assert spec["provider"] == {"type": "Host", "host": {"envoyVersion": "1.38.3"}}
    assert documents()["EnvoyProxy", "sluicegate"]["spec"]["provider"] == {"type": "Kubernetes"}


def test_what_clients_may_send() -> None:
    spec = client_traffic(max_body_bytes=2_000_000, timeouts={"idle": 30, "total": 200})
    assert spec["connection"] == {"bufferLimit": 2_000_000}
    assert spec["timeout"]["http"] == {
        "requestReceivedTimeout": "200s",
        "idleTimeout": "3600s",
        "streamIdleTimeout": "30s",
    }
    assert spec["path"] == {"escapedSlashesAction": "KeepUnchanged", "disableMergeSlashes": True}
    headers = spec["headers"]
    assert headers["withUnderscoresAction"] == "RejectRequest"
    assert headers["requestID"] == "Generate"
    assert headers["enableEnvoyHeaders"] is False
    removed = {(match["type"], match["value"]) for match in headers["earlyRequestHeaders"]["removeOnMatch"]}
    assert removed == {("Prefix", "x-sluicegate-"), ("Prefix", "x-envoy-"), ("Prefix", "x-ai-eg-")}


def test_answers_have_a_request_id_and_what_policies_tell() -> None:
    fields = client_traffic(told=("x-cost", "x-left"))["headers"]["lateResponseHeaders"]["set"]
    told = {field["name"]: field["value"] for field in fields}
    assert told["x-request-id"] == "%REQ(X-REQUEST-ID)%"
    assert told["x-cost"] == "%DYNAMIC_METADATA(sluicegate:x-cost)%"
    assert told["x-left"] == "%DYNAMIC_METADATA(sluicegate:x-left)%"


def test_everything_is_called_by_one_name_in_one_namespace() -> None:
    found = documents(options=Options(name="llm", namespace="edge"))
    assert found["Gateway", "llm"]["spec"]["gatewayClassName"] == "llm"
    assert found["Gateway", "llm"]["spec"]["infrastructure"]["parametersRef"]["name"] == "llm"
    assert found["AIGatewayRoute", "llm"]["spec"]["parentRefs"][0]["name"] == "llm"
    assert {made["metadata"].get("namespace") for (kind, _), made in found.items() if kind != "GatewayClass"} == {"edge"}
    assert all(name.startswith("llm") for _, name in found)
