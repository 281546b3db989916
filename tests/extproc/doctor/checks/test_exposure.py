"""What is open to the world. Each defect is found in each profile, and nothing else with it."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor.checks.exposure import MCP_LISTENER, MCP_PROXY_PORT, exposure
from extproc.doctor.tree import Tree
from extproc.doctor.view import Address, Gateway, Manager
from tests.extproc.doctor import recorded, variants
from tests.extproc.doctor.broken import both, codes, found
from tests.extproc.doctor.parts import V3


@pytest.mark.parametrize(("variant", "profile"), both(variants.EXPOSURE))
def test_a_defect_is_found_and_nothing_else(variant: variants.Variant, profile: str) -> None:
    assert found(variant, profile) == {variant.code}


def gateway(**members: Any) -> Gateway:
    return Gateway((), {}, **members)


def exposed(**members: Any) -> list[str]:
    return [finding.code for finding in exposure(gateway(**members))]


@pytest.mark.parametrize(
    ("version", "untested"),
    [
        ((1, 40, 0), False),
        ((1, 40, 9), False),
        ((1, 38, 3), False),
        ((1, 39, 1), True),
        ((2, 40, 0), True),
        (None, False),
    ],
)
def test_versions_outside_of_the_tested_ones(version: tuple[int, int, int] | None, untested: bool) -> None:
    assert exposed(version=version) == ["version_untested"] * untested


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        (Address("127.0.0.1", 9901), False),
        (Address("::1", 9901), False),
        (Address("localhost", 9901), False),
        (Address(pipe="/run/admin.sock"), False),
        (Address("10.0.0.7", 9901), True),
        (Address("::", 9901), True),
        (Address("envoy.example", 9901), True),
    ],
    ids=str,
)
def test_where_the_admin_endpoint_may_listen(address: Address, is_open: bool) -> None:
    assert exposed(admin=address) == ["admin_open"] * is_open


def test_the_mcp_proxy_of_ai_gateway_listens_everywhere() -> None:
    assert exposed(endpoints={"mcp": (Address("127.0.0.1", MCP_PROXY_PORT),)}) == ["mcp_open"]


@pytest.mark.parametrize(("host", "is_open"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_the_mcp_listener_of_ai_gateway(host: str, is_open: bool) -> None:
    empty = Tree({})
    door = Manager(MCP_LISTENER, Address(host, 10088), empty, empty, (), (), ())
    found = [finding.code for finding in exposure(Gateway((door,), {}))]
    assert found == ["mcp_open"] * is_open


def test_listeners_of_bytes_and_refused_updates() -> None:
    assert exposed(tcp=("tunnel",), refused=(("listener a", "bad"),)) == ["tcp_unjudged", "update_refused"]


def shown(**action: Any) -> set[str]:
    """What is found where another listener leads to the admin endpoint, as one of Envoy Gateway's does for statistics."""
    dump = recorded.dump()
    place = {"socket_address": {"address": "127.0.0.1", "port_value": 19000}}
    assignment = {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}}]}]}
    route = {"match": action.pop("match"), "route": {"cluster": "prometheus_stats", **action}}
    manager = {
        "@type": f"{V3}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "route_config": {"virtual_hosts": [{"name": "prometheus_stats", "domains": ["*"], "routes": [route]}]},
    }
    listener = {"name": "stats", "filter_chains": [{"filters": [{"typed_config": manager}]}]}
    for part in dump["configs"]:
        match part["@type"].rpartition(".")[2]:
            case "BootstrapConfigDump":
                part["bootstrap"]["admin"]["address"] = place
            case "ListenersConfigDump":
                part.setdefault("static_listeners", []).append({"listener": listener})
            case "ClustersConfigDump":
                cluster = {"name": "prometheus_stats", "load_assignment": assignment}
                part.setdefault("static_clusters", []).append({"cluster": cluster})
    return codes(dump)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"match": {"path": "/stats/prometheus"}}, set()),
        ({"match": {"prefix": "/stats"}}, set()),
        ({"match": {"prefix": "/"}}, {"admin_open"}),
        ({"match": {"path": "/stats", "headers": []}, "prefix_rewrite": "/quitquitquit"}, {"admin_open"}),
    ],
)
def test_a_listener_for_statistics_shows_nothing_else(action: dict[str, Any], expected: set[str]) -> None:
    assert shown(**action) == expected
