"""What a real `aigw` makes of the documents, read from its Envoy. Skipped where no binary is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from extproc.embedded.ports import free_port
from tests.ai_gateway import AIGW, running_ai_gateway
from tests.extproc.ai_gateway.configured import configured, upstream
from tests.servers import HOST

if not AIGW:
    pytest.skip("no aigw is given: SLUICEGATE_AIGW=PATH make test-ai-gateway", allow_module_level=True)

EXT_PROC, LUA = "envoy.filters.http.ext_proc/", "envoy.filters.http.lua/"
AI_GATEWAY = "envoy.filters.http.ext_proc/aigateway"


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    """The parts of the configuration dump of an Envoy that `aigw` runs. Nobody is behind it."""
    folder: Path = tmp_path_factory.mktemp("sg")
    nobody = f"http://{HOST}:{free_port()}"
    settings = configured(
        listen={"port": free_port()},
        server={"listen": f"unix:{folder}/policy.sock"},
        upstreams=[upstream(url=f"{nobody}/v1")],
        agents=[{"name": "kb", "url": f"{nobody}/agents/kb"}],
    )
    with running_ai_gateway(settings, response_fields=["x-told"]) as envoy:
        answer = httpx.get(f"http://{HOST}:{envoy.admin}/config_dump", timeout=30)
    found: list[Mapping[str, Any]] = answer.json()["configs"]
    return found


def listener(dump: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    entries = [entry["active_state"]["listener"] for part in dump for entry in part.get("dynamic_listeners", ())]
    (found,) = [entry for entry in entries if entry["name"] == "default/sluicegate/http"]
    return dict(found)


def manager(dump: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    (filter_,) = listener(dump)["default_filter_chain"]["filters"]
    return dict(filter_["typed_config"])


def routes(dump: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    configs = [entry["route_config"] for part in dump for entry in part.get("dynamic_route_configs", ())]
    return [route for config in configs for host in config.get("virtual_hosts", ()) for route in host["routes"]]


def clusters(dump: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found = [entry["cluster"] for part in dump for entry in part.get("dynamic_active_clusters", ())]
    return {cluster["name"]: cluster for cluster in found}


def test_the_policy_server_is_asked_before_ai_gateway(dump: list[Mapping[str, Any]]) -> None:
    names = [filter_["name"] for filter_ in manager(dump)["http_filters"]]
    ours = [n for n, name in enumerate(names) if name.startswith(EXT_PROC) and name != AI_GATEWAY]
    scripts = [n for n, name in enumerate(names) if name.startswith(LUA)]
    buffer, behind = names.index("envoy.filters.http.buffer"), names.index(AI_GATEWAY)
    assert max(ours) < min(scripts) < max(scripts) < buffer < behind < names.index("envoy.filters.http.router"), names


def test_our_filters_run_on_every_route(dump: list[Mapping[str, Any]]) -> None:
    for route in routes(dump):
        names = [*route["typed_per_filter_config"]]
        assert sum(name.startswith(EXT_PROC) and name != AI_GATEWAY for name in names) == 1, route["name"]
        assert any(name.startswith(LUA) for name in names), route["name"]


def test_ai_gateways_filter_runs_where_a_provider_is_asked_and_not_for_agents(dump: list[Mapping[str, Any]]) -> None:
    runs = {route["name"]: AI_GATEWAY in route["typed_per_filter_config"] for route in routes(dump)}
    assert runs
    assert all(runs[name] is ("agent" not in name) for name in runs), runs


def test_bodies_of_agents_are_neither_read_nor_buffered(dump: list[Mapping[str, Any]]) -> None:
    filters = {filter_["name"]: filter_["typed_config"] for filter_ in manager(dump)["http_filters"]}
    for route in routes(dump):
        (ours,) = [n for n in route["typed_per_filter_config"] if n.startswith(EXT_PROC) and n != AI_GATEWAY]
        read = filters[ours]["processing_mode"].get("request_body_mode", "NONE")
        buffered = "envoy.filters.http.buffer" in route["typed_per_filter_config"]
        assert (read, buffered) == (("NONE", False) if "agent" in route["name"] else ("BUFFERED", True)), route["name"]


def test_ours_fail_closed(dump: list[Mapping[str, Any]]) -> None:
    found = [f["typed_config"] for f in manager(dump)["http_filters"] if f["name"].startswith(EXT_PROC)]
    assert all(not config.get("failure_mode_allow", False) for config in found)
    assert all(config["message_timeout"] == "6s" for config in found if "sluicegate" in str(config["grpc_service"]))


def test_the_policy_server_is_no_bottleneck_by_default_and_nothing_is_retried(dump: list[Mapping[str, Any]]) -> None:
    for name, cluster in clusters(dump).items():
        if name == "ai-gateway-extproc-uds":
            # The row "exchanges at once" of docs/reference/ai-gateway.md: Envoy's default of 1,024.
            assert "circuit_breakers" not in cluster
            continue
        (bounds,) = cluster["circuit_breakers"]["thresholds"]
        assert bounds["max_requests"] > 1024, name
    assert all("retry_policy" not in route.get("route", {}) for route in routes(dump))


def test_every_exchange_is_told_to_the_policy_server_once(dump: list[Mapping[str, Any]]) -> None:
    (log,) = manager(dump)["access_log"]
    assert log["typed_config"]["common_config"]["log_name"] == "sluicegate"
    assert "access_log" not in listener(dump)


def test_what_clients_say_of_themselves_is_not_believed(dump: list[Mapping[str, Any]]) -> None:
    config = manager(dump)
    assert config["generate_request_id"] is True
    assert not config.get("preserve_external_request_id", False)
    assert config["use_remote_address"] is True
    assert config["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert config["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
    assert not config.get("merge_slashes", False)
    removed = [
        m["remove_on_match"]["key_matcher"]
        for m in config["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    ]
    assert {"prefix": "x-sluicegate-"} in removed


def test_bodies_and_time(dump: list[Mapping[str, Any]]) -> None:
    assert listener(dump)["per_connection_buffer_limit_bytes"] == 50 * 1024 * 1024
    silence = {route["name"].split("/")[2]: route["route"]["idle_timeout"] for route in routes(dump) if "route" in route}
    assert silence == {"sluicegate": "60s", "sluicegate-stream": "120s", "ai-eg-mcp-agent-kb": "120s"}
