"""Broken variants of both profiles, one defect each, and what the doctor must find in them: that, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from extproc.embedded.ports import free_port
from tests.extproc.doctor.parts import HTTP, V3, Parts

PLAIN: Final = "plain"
AI_GATEWAY: Final = "ai-gateway"
BOTH: Final = (PLAIN, AI_GATEWAY)
FILTER_CONFIG: Final = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
PER_ROUTE: Final = f"{HTTP}.ext_proc.v3.ExtProcPerRoute"
ROUTER: Final = "envoy.filters.http.router"
CACHE: Final = f"{V3}.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"
CHANGING: Final = "function envoy_on_request(h) h:headers():replace('x-tenant-id', 'me') end"
AIGW: Final = "envoy.filters.http.ext_proc/aigateway"


@dataclass(frozen=True, slots=True)
class Variant:
    """A defect.

    Attributes:
        code: of the one trap that it is; the variant is called by it and by `name`.
        profiles: in which it is possible.
    """

    code: str
    name: str
    change: Callable[[Parts], Any]
    profiles: tuple[str, ...] = BOTH

    def __str__(self) -> str:
        return f"{self.code}-{self.name}".replace(" ", "-")


def _set(tree: Any, **members: Any) -> None:
    tree.update(members)


def _unset(tree: Any, *names: str) -> None:
    for name in names:
        del tree[name]


def _guard_rules(parts: Parts) -> Any:
    return parts.filter(parts.guard)["typed_config"]["rules"]


def _principals(parts: Parts) -> list[Any]:
    listed: list[Any] = _guard_rules(parts)["policies"]["verdict"]["principals"]
    return listed


def _without_receiving(parts: Parts) -> None:
    parts.config()["metadata_options"]["receiving_namespaces"]["untyped"] = ["other"]


def _second(parts: Parts) -> None:
    again = {**parts.filter(parts.policy), "name": "sluicegate.again"}
    again.pop("disabled", None)
    parts.filters.insert(parts.filters.index(parts.filter(parts.policy)) + 1, again)


def _bypass(parts: Parts) -> None:
    """A second listener with a route to the agent, and nobody who judges."""
    manager = {
        "@type": f"{V3}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "back",
        "http_filters": [parts.filter(ROUTER)],
        "access_log": [parts.log()],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "back",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "agent_kb"}}],
                }
            ]
        },
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}
    listener = {"name": "back", "address": address, "filter_chains": [{"filters": filters}]}
    parts.whole["static_resources"]["listeners"].append(listener)


def _upgrade(parts: Parts) -> None:
    parts.manager["upgrade_configs"] = [{"upgrade_type": "websocket", "filters": [parts.filter(ROUTER)]}]


def _retry(causes: str) -> dict[str, Any]:
    return {"retry_on": causes, "num_retries": 2}


def _route_config(parts: Parts, kind: str) -> Any:
    """What a route to a provider says of a filter, added where it says nothing."""
    configs = parts.serving().setdefault("typed_per_filter_config", {})
    return configs.setdefault(parts.policy, {"@type": kind})


ORDER: Final = (
    Variant("policy_missing", "filter", lambda p: p.drop(p.policy), (PLAIN,)),
    Variant("policy_missing", "route to an agent on another listener", _bypass, (PLAIN,)),
    Variant("policy_bypassed", "by its own configuration", lambda p: p.per_route(p.policy, PER_ROUTE, disabled=True)),
    Variant("policy_bypassed", "by a switch", lambda p: p.per_route(p.policy, FILTER_CONFIG, disabled=True)),
    Variant(
        "policy_bypassed", "not switched on",
        lambda p: p.serving()["typed_per_filter_config"].pop(p.policy), (AI_GATEWAY,),
    ),
    Variant(
        "policy_bypassed", "not on the catch-all",
        lambda p: p.routes()[-1]["typed_per_filter_config"].pop(p.policy), (AI_GATEWAY,),
    ),
    Variant("policy_twice", "filters", _second),
    Variant("guard_missing", "filter", lambda p: p.drop(p.guard)),
    Variant(
        "guard_missing", "emptied by a route",
        lambda p: p.per_route(p.guard, f"{HTTP}.rbac.v3.RBACPerRoute"), (PLAIN,),
    ),
    Variant(
        "guard_missing", "disabled by a route",
        lambda p: p.per_route(p.guard, f"{HTTP}.lua.v3.LuaPerRoute", disabled=True), (AI_GATEWAY,),
    ),
    Variant("guard_before_policy", "order", lambda p: p.move(p.guard, before=p.policy)),
    Variant("guard_ineffective", "denies others", lambda p: _set(_guard_rules(p), action="LOG"), (PLAIN,)),
    Variant("guard_ineffective", "lets all pass", lambda p: _principals(p).append({"any": True}), (PLAIN,)),
    Variant(
        "guard_ineffective", "any verdict",
        lambda p: _set(_principals(p)[0]["sourced_metadata"]["metadata_matcher"], value={"present_match": True}),
        (PLAIN,),
    ),
    Variant(
        "guard_late", "a script in between",
        lambda p: p.insert("mine", "lua.v3.Lua", after=p.policy, default_source_code={"inline_string": CHANGING}),
    ),
    Variant("meter_missing", "filter", lambda p: p.drop(p.meter)),
    Variant("meter_misplaced", "before the policy", lambda p: p.move(p.meter, before=p.policy)),
    Variant("meter_misplaced", "behind AI Gateway", lambda p: p.move(p.meter, before=ROUTER), (AI_GATEWAY,)),
    Variant("ai_gateway_first", "order", lambda p: p.move(AIGW, before=p.policy), (AI_GATEWAY,)),
    Variant("compressed_before_metering", "after the meter", lambda p: _compress(p, before=ROUTER)),
    Variant("answers_compressed", "before the policy", lambda p: _compress(p, before=p.filters[0]["name"])),
    Variant(
        "changed_after_judgement", "a script",
        lambda p: p.insert("mine", "lua.v3.Lua", before=ROUTER, default_source_code={"inline_string": CHANGING}),
    ),
    Variant(
        "changed_after_judgement", "header mutation",
        lambda p: p.insert(
            "mine", "header_mutation.v3.HeaderMutation", before=ROUTER, mutations={"request_mutations": [{"remove": "x"}]}
        ),
    ),
    Variant(
        "cached_unjudged", "before the policy",
        lambda p: p.insert("cache", "cache.v3.CacheConfig", before=p.filters[0]["name"], typed_config={"@type": CACHE}),
    ),
    Variant("preflight_refused", "order", lambda p: p.insert("cors", "cors.v3.Cors", before=ROUTER)),
    Variant("upgrade_bypasses", "filters of its own", _upgrade),
)  # fmt: skip


def _compress(parts: Parts, *, before: str) -> None:
    kind = f"{V3}.compression.gzip.compressor.v3.Gzip"
    library = {"name": "text_optimized", "typed_config": {"@type": kind}}
    parts.insert("compressor", "compressor.v3.Compressor", before=before, compressor_library=library)


ASKING: Final = (
    Variant("fail_open", "filter", lambda p: _set(p.config(), failure_mode_allow=True)),
    Variant(
        "fail_open", "route", lambda p: p.per_route(p.policy, PER_ROUTE, overrides={"failure_mode_allow": True})
    ),
    Variant("message_timeout", "default", lambda p: _unset(p.config(), "message_timeout")),
    Variant("message_timeout", "as long as a decision", lambda p: _set(p.config(), message_timeout="5s")),
    Variant("no_status_on_error", "default", lambda p: _unset(p.config(), "status_on_error"), (PLAIN,)),
    Variant("mode_override_forbidden", "default", lambda p: _unset(p.config(), "allow_mode_override")),
    Variant(
        "mode_override_forbidden", "restricted",
        lambda p: _set(p.config(), allowed_override_modes=[{"response_header_mode": "SKIP"}]),
    ),
    Variant("changes_refused", "default", lambda p: _unset(p.config(), "mutation_rules"), (PLAIN,)),
    Variant("changes_refused", "all", lambda p: p.config().setdefault("mutation_rules", {}).update(disallow_all=True)),
    Variant(
        "body_not_judged", "in parts", lambda p: _set(p.config()["processing_mode"], request_body_mode="BUFFERED_PARTIAL")
    ),
    Variant("body_not_judged", "none", lambda p: _set(p.config()["processing_mode"], request_body_mode="NONE")),
    Variant(
        "body_not_judged", "route",
        lambda p: p.per_route(p.policy, PER_ROUTE, overrides={"processing_mode": {"response_header_mode": "SKIP"}}),
    ),
    Variant("headers_not_judged", "skipped", lambda p: _set(p.config()["processing_mode"], request_header_mode="SKIP")),
    Variant(
        "headers_not_judged", "some of them",
        lambda p: _set(p.config(), forward_rules={"allowed_headers": {"patterns": [{"exact": ":path"}]}}),
    ),
    Variant(
        "response_for_nothing", "headers", lambda p: _set(p.config()["processing_mode"], response_header_mode="SEND")
    ),
    Variant(
        "response_for_nothing", "body", lambda p: _set(p.config()["processing_mode"], response_body_mode="STREAMED")
    ),
    Variant("observed_only", "set", lambda p: _set(p.config(), observability_mode=True)),
    Variant("refusals_disabled", "set", lambda p: _set(p.config(), disable_immediate_response=True)),
    Variant("verdict_not_received", "other namespaces", _without_receiving),
    Variant("route_not_chosen", "retained", lambda p: _set(p.config(), route_cache_action="RETAIN")),
    Variant("route_not_chosen", "not cleared", lambda p: _set(p.config(), disable_clear_route_cache=True)),
)  # fmt: skip

SETTLING: Final = (
    Variant("access_log_missing", "none", lambda p: _unset(p.manager, "access_log")),
    Variant("access_log_twice", "two", lambda p: p.manager["access_log"].append(p.log())),
    Variant(
        "access_log_filtered", "errors alone", lambda p: _set(p.log(), filter={"response_flag_filter": {"flags": ["NR"]}})
    ),
    Variant(
        "access_log_of_connections", "type",
        lambda p: _set(p.log()["typed_config"], **{"@type": f"{V3}.access_loggers.grpc.v3.TcpGrpcAccessLogConfig"}),
    ),
    Variant(
        "access_log_intermediate", "every minute",
        lambda p: _set(p.manager, access_log_options={"access_log_flush_interval": "60s"}),
    ),
    Variant(
        "access_log_intermediate", "at the start", lambda p: _set(p.manager, flush_access_log_on_new_request=True)
    ),
    Variant(
        "access_log_late", "ten seconds",
        lambda p: _set(p.log()["typed_config"]["common_config"], buffer_flush_interval="10s"),
    ),
    Variant(
        "access_log_dropped", "default",
        lambda p: _unset(p.log()["typed_config"]["common_config"], "buffer_size_bytes"), (PLAIN,),
    ),
    Variant(
        "access_log_dropped", "Envoy Gateway's default",
        lambda p: _set(p.told(), per_connection_buffer_limit_bytes=32_768), (AI_GATEWAY,),
    ),
)  # fmt: skip

ROUTES: Final = (
    Variant("retries", "route", lambda p: _set(p.serving()["route"], retry_policy=_retry("5xx,reset"))),
    Variant("retries", "all routes", lambda p: _set(p.hosts[0], retry_policy=_retry("gateway-error"))),
    Variant(
        "mirrored", "route",
        lambda p: _set(p.serving()["route"], request_mirror_policies=[{"cluster": p.serving()["route"]["cluster"]}]),
    ),
    Variant("mirrored", "hedged", lambda p: _set(p.serving()["route"], hedge_policy={"hedge_on_per_try_timeout": True})),
    Variant("redirected_inside", "route", lambda p: _set(p.serving()["route"], internal_redirect_policy={})),
    Variant("cluster_by_header", "route", lambda p: _by_header(p.serving()["route"])),
    Variant("route_without_verdict", "route", lambda p: p.serving()["match"]["headers"].pop(0)),
    Variant(
        "route_without_verdict", "by a pattern",
        lambda p: _set(p.serving()["match"]["headers"][0], string_match={"prefix": "o"}),
    ),
    Variant("internal_headers_kept", "route", lambda p: _unset(p.serving(), "request_headers_to_remove"), (PLAIN,)),
    Variant("answer_cut", "default", lambda p: _unset(p.serving()["route"], "timeout")),
    Variant(
        "answer_cut", "longest stream",
        lambda p: _set(p.serving()["route"], max_stream_duration={"max_stream_duration": "60s"}),
    ),
    Variant("silence_cut", "route", lambda p: _set(p.serving()["route"], idle_timeout="20s")),
    Variant("silence_cut", "listener", lambda p: _set(p.manager, stream_idle_timeout="20s")),
    Variant(
        "credential_in_sight", "route",
        lambda p: _set(p.serving(), request_headers_to_add=[{"header": {"key": "Authorization", "value": "Bearer key"}}]),
    ),
)  # fmt: skip


def _by_header(action: dict[str, Any]) -> None:
    del action["cluster"]
    action["cluster_header"] = "x-cluster"


def _keepalive(parts: Parts) -> Any:
    options = parts.asked()["typed_extension_protocol_options"]
    return options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"][
        "http2_protocol_options"
    ]


def _http1(parts: Parts) -> None:
    options = parts.asked()["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
    options["explicit_http_config"] = {"http_protocol_options": {}}


def _unverified(parts: Parts) -> None:
    context = {"@type": f"{V3}.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "api.openai.com"}
    parts.sent()["transport_socket"] = {"name": "tls", "typed_config": context}
    parts.sent().pop("transport_socket_matches", None)


def _far(parts: Parts) -> None:
    cluster = parts.asked()
    address = {"socket_address": {"address": "192.0.2.7", "port_value": 50051}}
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]


DOORS: Final = (
    Variant("request_id_trusted", "preserved", lambda p: _set(p.manager, preserve_external_request_id=True)),
    Variant("request_id_trusted", "not generated", lambda p: _set(p.manager, generate_request_id=False)),
    Variant("client_fields_trusted", "address", lambda p: _unset(p.manager, "use_remote_address")),
    Variant(
        "client_fields_trusted", "everybody",
        lambda p: _set(p.manager, internal_address_config={"cidr_ranges": [{"address_prefix": "0.0.0.0"}]}),
    ),
    Variant(
        "underscores_allowed", "default",
        lambda p: _unset(p.manager["common_http_protocol_options"], "headers_with_underscores_action"),
    ),
    Variant("path_rewritten", "normalised", lambda p: _set(p.manager, normalize_path=True), (PLAIN,)),
    Variant("path_rewritten", "slashes merged", lambda p: _set(p.manager, merge_slashes=True)),
    Variant(
        "path_rewritten", "slashes unescaped",
        lambda p: _set(p.manager, path_with_escaped_slashes_action="UNESCAPE_AND_FORWARD"),
    ),
    Variant("body_limit", "default", lambda p: _unset(p.listener, "per_connection_buffer_limit_bytes")),
    Variant("body_limit", "route", lambda p: _set(p.serving(), per_request_buffer_limit_bytes=65536)),
    Variant("connections_unbounded", "no monitor", lambda p: _unset(p.base, "overload_manager")),
    Variant("local_replies_missing", "default", lambda p: _unset(p.manager, "local_reply_config"), (PLAIN,)),
)  # fmt: skip

CLUSTERS: Final = (
    Variant("circuit_breaker", "default", lambda p: _unset(p.asked(), "circuit_breakers")),
    Variant(
        "circuit_breaker", "requests",
        lambda p: _set(p.asked()["circuit_breakers"]["thresholds"][0], max_requests=1024),
    ),
    Variant("upstream_breaker", "default", lambda p: _unset(p.sent(), "circuit_breakers")),
    Variant("hanging_unnoticed", "no keepalive", lambda p: _unset(_keepalive(p), "connection_keepalive")),
    Variant("policy_not_grpc", "HTTP/1.1", _http1),
    Variant("policy_in_clear", "another machine", _far, (PLAIN,)),
    Variant("upstream_unverified", "no authority", _unverified),
)  # fmt: skip

EXPOSURE: Final = (
    Variant(
        "admin_open", "every interface",
        lambda p: _set(p.base, admin={"address": {"socket_address": {"address": "0.0.0.0", "port_value": 0}}}),
    ),
)  # fmt: skip

ALL: Final = (*ORDER, *ASKING, *SETTLING, *ROUTES, *DOORS, *CLUSTERS, *EXPOSURE)
