"""Routes by the verdict, and what bounds them."""

from __future__ import annotations

from extproc.settings import Timeouts
from tests.extproc.ai_gateway.configured import AGENTS, documents, of_kind, upstream

COSTS = {"InputToken", "OutputToken", "TotalToken", "CachedInputToken", "CacheCreationInputToken", "ReasoningToken"}
TIMES = Timeouts(connect=2, idle=30, stream_idle=90, total=200).model_dump()


def test_a_call_goes_where_the_verdict_says_and_the_model_decides_nothing() -> None:
    routes = of_kind(documents(), "AIGatewayRoute")
    assert set(routes) == {"sluicegate", "sluicegate-stream"}
    for name, flag in (("sluicegate", "0"), ("sluicegate-stream", "1")):
        rules = routes[name]["rules"]
        assert [
            (
                [(header["type"], header["name"], header["value"]) for header in rule["matches"][0]["headers"]],
                rule["backendRefs"],
            )
            for rule in rules
        ] == [
            (
                [("Exact", "x-sluicegate-upstream", upstream), ("Exact", "x-sluicegate-stream", flag)],
                [{"name": f"sluicegate-{upstream.replace('_', '-')}"}],
            )
            for upstream in ("azure_east", "openai", "anthropic", "local")
        ]
        assert all(len(rule["matches"]) == 1 for rule in rules)


def test_every_route_counts_all_that_ai_gateway_counts() -> None:
    for spec in of_kind(documents(), "AIGatewayRoute").values():
        assert {cost["type"] for cost in spec["llmRequestCosts"]} == COSTS


def test_a_route_holds_fifteen_upstreams() -> None:
    many = [upstream(name=f"u{number}") for number in range(31)]
    found = documents(upstreams=many)
    routes = of_kind(found, "AIGatewayRoute")
    assert {name: len(spec["rules"]) for name, spec in routes.items()} == {
        "sluicegate": 15,
        "sluicegate-2": 15,
        "sluicegate-3": 1,
        "sluicegate-stream": 15,
        "sluicegate-stream-2": 15,
        "sluicegate-stream-3": 1,
    }
    bounded = {spec["targetRefs"][0]["name"] for spec in of_kind(found, "BackendTrafficPolicy").values()}
    assert {"sluicegate-stream", "sluicegate-stream-2", "sluicegate-stream-3"} <= bounded


def test_an_agent_is_reached_with_a_verdict_only_whatever_its_path_becomes() -> None:
    route = of_kind(documents(), "HTTPRoute")["sluicegate-agent-kb"]
    judged, unjudged = route["rules"]
    # An expression comes before every prefix: an agent's own path may begin like another's here.
    assert judged["matches"] == [
        {
            "path": {"type": "RegularExpression", "value": "/.*"},
            "headers": [{"type": "Exact", "name": "x-sluicegate-upstream", "value": "kb"}],
        }
    ]
    assert unjudged["matches"] == [{"path": {"type": "PathPrefix", "value": "/agents/kb/"}}]
    assert "backendRefs" not in unjudged
    assert [filter_["type"] for filter_ in unjudged["filters"]] == ["ExtensionRef"]
    filters = of_kind(documents(), "HTTPRouteFilter")
    assert filters[unjudged["filters"][0]["extensionRef"]["name"]] == {"directResponse": {"statusCode": 404}}


def test_an_agent_gets_its_own_host_name_and_none_of_our_fields() -> None:
    judged = of_kind(documents(), "HTTPRoute")["sluicegate-agent-kb"]["rules"][0]
    filters = {filter_["type"]: filter_ for filter_ in judged["filters"]}
    assert filters["URLRewrite"]["urlRewrite"] == {"hostname": "kb.agents.svc"}
    assert set(filters["RequestHeaderModifier"]["requestHeaderModifier"]["remove"]) == {
        "x-sluicegate-upstream",
        "x-sluicegate-stream",
        "x-envoy-original-path",
    }


def test_an_agent_that_has_an_address_only_keeps_the_clients_host() -> None:
    found = documents(agents=[{"name": "kb", "url": "http://10.0.0.7"}])
    judged = of_kind(found, "HTTPRoute")["sluicegate-agent-kb"]["rules"][0]
    assert [filter_["type"] for filter_ in judged["filters"]] == ["RequestHeaderModifier"]


def test_an_agents_key_is_added_by_envoy() -> None:
    found = documents(agents=[{**AGENTS[0], "credential": {"env": "KB_KEY"}}])
    judged = of_kind(found, "HTTPRoute")["sluicegate-agent-kb"]["rules"][0]
    named = [filter_["extensionRef"]["name"] for filter_ in judged["filters"] if filter_["type"] == "ExtensionRef"]
    assert named == ["sluicegate-agent-kb"]
    injected = of_kind(found, "HTTPRouteFilter")["sluicegate-agent-kb"]["credentialInjection"]
    assert injected == {
        "overwrite": True,
        "header": "authorization",
        "credential": {"valueRef": {"name": "sluicegate-agent-kb"}},
    }


def test_standalone_agents_are_called_so_that_ai_gateway_leaves_them_alone() -> None:
    found = documents(standalone=True)
    assert set(of_kind(found, "HTTPRoute")) == {"ai-eg-mcp-agent-kb"}
    targets = of_kind(found, "EnvoyExtensionPolicy")["sluicegate-agents"]["targetRefs"]
    assert [target["name"] for target in targets] == ["ai-eg-mcp-agent-kb"]


def test_bounds() -> None:
    policies = of_kind(documents(timeouts=TIMES), "BackendTrafficPolicy")
    assert {name: spec["timeout"]["http"]["streamIdleTimeout"] for name, spec in policies.items()} == {
        "sluicegate": "30s",
        "sluicegate-stream": "90s",
        "sluicegate-agents": "90s",
    }
    for name, spec in policies.items():
        assert spec["timeout"]["tcp"] == {"connectTimeout": "2s"}
        assert spec["timeout"]["http"]["requestTimeout"] == "200s"
        # A retry would spend twice.
        assert "retry" not in spec
        assert spec["circuitBreaker"]["maxParallelRetries"] == 0
        assert spec["circuitBreaker"]["maxParallelRequests"] > 1024
        # Agents' bodies are not buffered, by anybody.
        assert spec.get("requestBuffer") == (None if name == "sluicegate-agents" else {"limit": 50 * 1024 * 1024})


def test_routes_have_the_total_time() -> None:
    found = documents(timeouts=TIMES)
    for spec in of_kind(found, "AIGatewayRoute").values():
        assert {rule["timeouts"]["request"] for rule in spec["rules"]} == {"200s"}
    assert of_kind(found, "HTTPRoute")["sluicegate-agent-kb"]["rules"][0]["timeouts"] == {"request": "200s"}


def test_without_agents_there_is_nothing_of_theirs() -> None:
    found = documents(agents=[])
    assert not {kind for kind, _ in found} & {"HTTPRoute", "HTTPRouteFilter"}
    assert set(of_kind(found, "EnvoyExtensionPolicy")) == {"sluicegate"}
    assert set(of_kind(found, "BackendTrafficPolicy")) == {"sluicegate", "sluicegate-stream"}
