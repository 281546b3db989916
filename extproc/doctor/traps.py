"""The traps: of each what comes of it, and how it is mended. The page `docs/operations/doctor.md` holds the same."""

from __future__ import annotations

from typing import Final

from extproc.doctor.findings import Severity, Trap

_ERROR: Final = Severity.ERROR
_WARNING: Final = Severity.WARNING

# Who judges, and in which order --------------------------------------------------------------------------------------

POLICY_MISSING: Final = Trap(
    "policy_missing", _ERROR,
    "Whatever comes in there goes up without a decision, a limit or a record.",
    "Put the policy filter (ext_proc) and the guard into this connection manager, or close the listener.",
)  # fmt: skip
POLICY_BYPASSED: Final = Trap(
    "policy_bypassed", _ERROR,
    "Requests of this route go up without a decision. Where a filter is switched on by route, the first route that "
    "matches decides, also for the route that is chosen in the end.",
    "Remove what switches the filter off. With Envoy Gateway: attach the EnvoyExtensionPolicy to the Gateway, and "
    "let no route have one of its own.",
)  # fmt: skip
POLICY_SHADOWED: Final = Trap(
    "policy_shadowed", _ERROR,
    "Of Envoy Gateway's policies the most specific counts as a whole: requests of these routes are not judged, or "
    "have no guard and no meter.",
    "Remove the EnvoyExtensionPolicy of the route, or put our `extProc` and `lua` into it.",
)  # fmt: skip
POLICY_TWICE: Final = Trap(
    "policy_twice", _ERROR,
    "Each request is decided, reserved for and recorded twice.",
    "Leave one policy filter in the chain.",
)  # fmt: skip
GUARD_MISSING: Final = Trap(
    "guard_missing", _ERROR,
    "Envoy carries on without us when the policy server closes its stream cleanly: a restart is enough for requests "
    "to go up unjudged.",
    "Put the guard right after the policy filter: rbac on the metadata `sluicegate.verdict`, or `envoy/guard.lua` "
    "where there is no rbac on metadata.",
)  # fmt: skip
GUARD_BEFORE_POLICY: Final = Trap(
    "guard_before_policy", _ERROR,
    "There is no verdict yet when the guard looks for it: every request is refused.",
    "Put the guard right after the policy filter.",
)  # fmt: skip
GUARD_INEFFECTIVE: Final = Trap(
    "guard_ineffective", _ERROR,
    "It lets requests pass that have no verdict.",
    "Allow by one rule: `sourced_metadata` from DYNAMIC metadata, filter `sluicegate`, path `verdict`, exactly "
    "`allow`.",
)  # fmt: skip
GUARD_LATE: Final = Trap(
    "guard_late", _ERROR,
    "A filter in between acts on requests that nobody has allowed, and may answer them.",
    "Put the guard right after the policy filter.",
)  # fmt: skip
METER_MISSING: Final = Trap(
    "meter_missing", _ERROR,
    "Token usage is not read: budgets and bills are charged what was reserved.",
    "Put `envoy/usage.lua` between the guard and the router (with AI Gateway: before its filter).",
)  # fmt: skip
METER_MISPLACED: Final = Trap(
    "meter_misplaced", _ERROR,
    "The meter reads something else than the answer that the client gets: usage is missing or wrong.",
    "Order: policy, guard, meter, then AI Gateway's filter if there is one, then the router.",
)  # fmt: skip
COMPRESSED_BEFORE_METERING: Final = Trap(
    "compressed_before_metering", _ERROR,
    "Answers are compressed before the meter sees them: no usage is read.",
    "Remove the compressor, or put it first, before the policy filter.",
)  # fmt: skip
ANSWERS_COMPRESSED: Final = Trap(
    "answers_compressed", _WARNING,
    "A compressor holds back the events of a stream, and answers are no longer the upstream's bytes.",
    "Remove the compressor from this connection manager.",
)  # fmt: skip
SCRIPT_OF_ANOTHER_VERSION: Final = Trap(
    "script_of_another_version", _WARNING,
    "Script and policy server agree on metadata by version: what one of them says the other may not understand.",
    "Render the configuration anew with the version that runs (`sluicegate render`).",
)  # fmt: skip
AI_GATEWAY_FIRST: Final = Trap(
    "ai_gateway_first", _ERROR,
    "AI Gateway judges by the client's model and answers by itself before we are asked; we see the provider's answer "
    "instead of the client's, and its token counts never.",
    "EnvoyProxy: `filterOrder` with ext_proc and lua before `envoy.filters.http.buffer`; BackendTrafficPolicy on the "
    "Gateway: `requestBuffer`. AI Gateway then puts itself behind the buffer.",
)  # fmt: skip
CHANGED_AFTER_JUDGEMENT: Final = Trap(
    "changed_after_judgement", _WARNING,
    "What goes up need not be what was judged, priced and recorded.",
    "Put filters that change requests before the policy filter.",
)  # fmt: skip
CACHED_UNJUDGED: Final = Trap(
    "cached_unjudged", _ERROR,
    "Answers come out of the cache before anybody has asked whether this caller may have them.",
    "Remove the cache filter: it knows nothing of tenants.",
)  # fmt: skip
PREFLIGHT_REFUSED: Final = Trap(
    "preflight_refused", _WARNING,
    "Preflights carry no token: the policy filter refuses them, and browsers never send the request.",
    "Put the cors filter before the policy filter.",
)  # fmt: skip

# How it is asked -----------------------------------------------------------------------------------------------------

FAIL_OPEN: Final = Trap(
    "fail_open", _ERROR,
    "When the policy server is gone, slow or wrong, requests are no longer judged; the rest of the stream is not "
    "seen at all.",
    "`failure_mode_allow: false` (Envoy Gateway: `failOpen: false`), also in overrides of routes.",
)  # fmt: skip
MESSAGE_TIMEOUT: Final = Trap(
    "message_timeout", _ERROR,
    "Envoy gives up before the policy server has decided: requests fail that were allowed, and their reservations "
    "are stray. Envoy's default is 200 ms.",
    "`message_timeout`: a second more than `server.decision_timeout` (Envoy Gateway: `messageTimeout`).",
)  # fmt: skip
NO_STATUS_ON_ERROR: Final = Trap(
    "no_status_on_error", _WARNING,
    "Clients get 500 or 504 when the policy server is gone, instead of an error that tells them to try again.",
    "`status_on_error: {code: 503}`.",
)  # fmt: skip
MODE_OVERRIDE_FORBIDDEN: Final = Trap(
    "mode_override_forbidden", _ERROR,
    "The policy server says per request what it wants to see; what it says is ignored: bodies of agents are "
    "buffered, answers that a policy asked for never come.",
    "`allow_mode_override: true`, without `allowed_override_modes` (Envoy Gateway: "
    "`processingMode.allowModeOverride: true`).",
)  # fmt: skip
CHANGES_REFUSED: Final = Trap(
    "changes_refused", _ERROR,
    "What the verdict changes is not taken: credentials of clients go up, the upstream is not chosen.",
    "`mutation_rules: {allow_all_routing: true, allow_envoy: true}`, and nothing that forbids.",
)  # fmt: skip
BODY_NOT_JUDGED: Final = Trap(
    "body_not_judged", _ERROR,
    "Model, size and price of a call stand in its body: without the whole of it there is no decision.",
    "`request_body_mode: BUFFERED` (Envoy Gateway: `processingMode.request.body: Buffered`); NONE only on routes "
    "that serve nothing by themselves.",
)  # fmt: skip
HEADERS_NOT_JUDGED: Final = Trap(
    "headers_not_judged", _ERROR,
    "The token, the path and the method stand in the headers: who calls is not known.",
    "`request_header_mode: SEND`, without `forward_rules`.",
)  # fmt: skip
RESPONSE_FOR_NOTHING: Final = Trap(
    "response_for_nothing", _WARNING,
    "Every answer makes its way through the policy server although no policy asked for it: ten times the work for a "
    "stream. Buffered, a stream reaches the client when it is over.",
    "`response_header_mode: SKIP` and `response_body_mode: NONE`: a policy that wants an answer asks for it on that "
    "exchange.",
)  # fmt: skip
OBSERVED_ONLY: Final = Trap(
    "observed_only", _ERROR,
    "Envoy tells the policy server and does not wait for it: nothing is ever refused.",
    "`observability_mode: false` (Envoy Gateway: no `shadowMode`). Shadow mode is a setting of each policy.",
)  # fmt: skip
REFUSALS_DISABLED: Final = Trap(
    "refusals_disabled", _ERROR,
    "A refusal of ours is taken for a fault, and clients get an error that says nothing.",
    "`disable_immediate_response: false`.",
)  # fmt: skip
VERDICT_NOT_RECEIVED: Final = Trap(
    "verdict_not_received", _ERROR,
    "The verdict is dropped: the guard refuses every request, and nothing can be settled.",
    "`metadata_options.receiving_namespaces.untyped: [sluicegate]` (Envoy Gateway: `metadata.writableNamespaces`).",
)  # fmt: skip
ROUTE_NOT_CHOSEN: Final = Trap(
    "route_not_chosen", _ERROR,
    "The route that was found before the verdict stays: the upstream that we chose is not taken.",
    "No `disable_clear_route_cache`, no `route_cache_action: RETAIN`.",
)  # fmt: skip
POLICY_NOT_GRPC: Final = Trap(
    "policy_not_grpc", _ERROR,
    "The policy server speaks gRPC over HTTP/2 and nothing else: no decision is ever made.",
    "`grpc_service: {envoy_grpc: …}`, and `http2_protocol_options` on its cluster.",
)  # fmt: skip

# What is settled -----------------------------------------------------------------------------------------------------

ACCESS_LOG_MISSING: Final = Trap(
    "access_log_missing", _ERROR,
    "No exchange is ever settled: reservations are charged in full when their leases end, and the journal has no "
    "closing half.",
    "An `envoy.access_loggers.http_grpc` access log to the policy server on every connection manager (Envoy Gateway: "
    "EnvoyProxy, `telemetry.accessLog`, sink of type ALS and HTTP).",
)  # fmt: skip
ACCESS_LOG_TWICE: Final = Trap(
    "access_log_twice", _ERROR,
    "Each exchange is told twice: the second time it is not settled again, but counters and logs of others may count "
    "it.",
    "Leave one access log to the policy server.",
)  # fmt: skip
ACCESS_LOG_FILTERED: Final = Trap(
    "access_log_filtered", _ERROR,
    "Exchanges that the filter leaves out are never settled.",
    "Remove the filter of this access log.",
)  # fmt: skip
ACCESS_LOG_OF_CONNECTIONS: Final = Trap(
    "access_log_of_connections", _ERROR,
    "It tells of connections and holds no metadata: nothing can be settled by it.",
    "`envoy.access_loggers.http_grpc` (Envoy Gateway: `als.type: HTTP`).",
)  # fmt: skip
ACCESS_LOG_INTERMEDIATE: Final = Trap(
    "access_log_intermediate", _ERROR,
    "An exchange is told before it has ended, and settled then: what it uses later is never charged.",
    "No `access_log_flush_interval`, `flush_access_log_on_new_request` or `flush_access_log_on_tunnel_…`.",
)  # fmt: skip
ACCESS_LOG_LATE: Final = Trap(
    "access_log_late", _WARNING,
    "What was used is known late: limits stand at what was reserved meanwhile, and what is not sent is lost if Envoy "
    "dies.",
    "`buffer_flush_interval: 0.01s`; it must not be more than a second.",
)  # fmt: skip
ACCESS_LOG_DROPPED: Final = Trap(
    "access_log_dropped", _WARNING,
    "While settlement is replaced, or busy, Envoy keeps what fits and drops the rest. Its default is 16 KiB, some ten "
    "exchanges; on a connection, Envoy Gateway's is 32 KiB.",
    "`buffer_size_bytes: 4194304` (Envoy Gateway: `connection.bufferLimit: 4Mi` in the `backendSettings` of the sink).",
)  # fmt: skip

COSTS_MISSING: Final = Trap(
    "costs_missing", _WARNING,
    "AI Gateway tells tokens, backend and model of an answer only where it is asked for costs.",
    "`llmRequestCosts` of every AIGatewayRoute, with all six types.",
)  # fmt: skip

# Where it goes -------------------------------------------------------------------------------------------------------

RETRIES: Final = Trap(
    "retries", _ERROR,
    "The provider may have worked on what failed: it bills every attempt, and we count one.",
    "No `retry_policy`; at most `connect-failure`, `refused-stream` or `reset-before-request` (Envoy Gateway: no "
    "`retry` in BackendTrafficPolicy). Clients retry themselves, and are counted.",
)  # fmt: skip
MIRRORED: Final = Trap(
    "mirrored", _ERROR,
    "The prompt goes to a second place that nobody judged, and may be billed there.",
    "No `request_mirror_policies`, no `hedge_policy`.",
)  # fmt: skip
REDIRECTED_INSIDE: Final = Trap(
    "redirected_inside", _ERROR,
    "The upstream chooses by its answer where the request goes next.",
    "No `internal_redirect_policy`.",
)  # fmt: skip
CLUSTER_BY_HEADER: Final = Trap(
    "cluster_by_header", _ERROR,
    "Whoever sets the header chooses the cluster, ours and the policy server's among them.",
    "Name the cluster, in one route for each upstream.",
)  # fmt: skip
ROUTE_WITHOUT_VERDICT: Final = Trap(
    "route_without_verdict", _ERROR,
    "The upstream is chosen by what the client sent, not by the verdict: what was judged for one goes to another.",
    "Match `x-sluicegate-upstream` exactly: it is set with the verdict, and a client's is removed.",
)  # fmt: skip
INTERNAL_HEADERS_KEPT: Final = Trap(
    "internal_headers_kept", _WARNING,
    "Providers are told how the gateway is built.",
    "`request_headers_to_remove: [x-sluicegate-upstream, x-sluicegate-stream]` on the route (AI Gateway: "
    "`headerMutation.remove` of its backendRefs).",
)  # fmt: skip
ANSWER_CUT: Final = Trap(
    "answer_cut", _ERROR,
    "Long answers are cut off, after they have been paid for. Without a setting Envoy ends an answer after 15 s.",
    "`timeout` of the route: no shorter than `timeouts.total` of the configuration.",
)  # fmt: skip
SILENCE_CUT: Final = Trap(
    "silence_cut", _ERROR,
    "Models think for longer than that before they say a word: their answers are cut off, after they have been paid "
    "for.",
    "Idle timeouts no shorter than `timeouts.idle` and `timeouts.stream_idle` of the configuration (Envoy Gateway: "
    "ClientTrafficPolicy, `timeout.http.streamIdleTimeout`).",
)  # fmt: skip
UPGRADE_BYPASSES: Final = Trap(
    "upgrade_bypasses", _ERROR,
    "Upgraded requests take a chain of their own, in which nobody judges them.",
    "No `upgrade_configs` with `filters` of their own.",
)  # fmt: skip
CREDENTIAL_IN_SIGHT: Final = Trap(
    "credential_in_sight", _WARNING,
    "Whoever reads the configuration or a dump of it has the key.",
    "`credential_injector` with a secret from a file or the environment.",
)  # fmt: skip

# Who is outside ------------------------------------------------------------------------------------------------------

REQUEST_ID_TRUSTED: Final = Trap(
    "request_id_trusted", _ERROR,
    "The id is what joins verdict, access log and journal: a client that chooses it can make exchanges look like "
    "others.",
    "`generate_request_id: true`, `preserve_external_request_id: false` (Envoy Gateway: `headers.requestID: "
    "Generate`).",
)  # fmt: skip
CLIENT_FIELDS_TRUSTED: Final = Trap(
    "client_fields_trusted", _ERROR,
    "Clients count as internal: what they say in `x-envoy-*` and `x-forwarded-for` is believed, retries and time "
    "limits among it.",
    "`use_remote_address: true`, and no `internal_address_config` that holds everybody.",
)  # fmt: skip
UNDERSCORES_ALLOWED: Final = Trap(
    "underscores_allowed", _WARNING,
    "Servers behind a CGI-like interface read x_tenant_id as x-tenant-id: a client can say who it is.",
    "`headers_with_underscores_action: REJECT_REQUEST` (Envoy Gateway: `withUnderscoresAction: RejectRequest`).",
)  # fmt: skip
PATH_REWRITTEN: Final = Trap(
    "path_rewritten", _WARNING,
    "The path that is judged and recorded is not the one that was sent: paths with two readings are no longer "
    "refused.",
    "`normalize_path: false`, `merge_slashes: false`, `path_with_escaped_slashes_action: KEEP_UNCHANGED` (Envoy "
    "Gateway: `path.disableMergeSlashes: true`, `path.escapedSlashesAction: KeepUnchanged`).",
)  # fmt: skip
BODY_LIMIT: Final = Trap(
    "body_limit", _ERROR,
    "Bodies that the configuration allows are answered with 413. Envoy's default is 1 MiB, Envoy Gateway's 32 KiB.",
    "`per_connection_buffer_limit_bytes` of the listener: `max_body_bytes` of the configuration (Envoy Gateway: "
    "`connection.bufferLimit`, and `requestBuffer.limit`).",
)  # fmt: skip
CONNECTIONS_UNBOUNDED: Final = Trap(
    "connections_unbounded", _WARNING,
    "Connections take memory and file descriptors before anybody is judged.",
    "The overload manager's `downstream_connections` monitor (Envoy Gateway: `connection.connectionLimit`).",
)  # fmt: skip
LOCAL_REPLIES_MISSING: Final = Trap(
    "local_replies_missing", _WARNING,
    "Errors that Envoy makes itself are plain text: SDKs cannot read them.",
    "Render the configuration anew (`sluicegate render`): its `local_reply_config` speaks the caller's dialect.",
)  # fmt: skip
ADMIN_OPEN: Final = Trap(
    "admin_open", _ERROR,
    "Whoever reaches the admin endpoint can stop Envoy, read its configuration and change its runtime.",
    "A unix socket, or 127.0.0.1.",
)  # fmt: skip
MCP_OPEN: Final = Trap(
    "mcp_open", _ERROR,
    "AI Gateway's MCP listener and proxy trust whoever reaches them: neither token nor policy is asked there.",
    "Bind the listener to 127.0.0.1, and close ports 9856 and 10088 with a NetworkPolicy.",
)  # fmt: skip
TCP_UNJUDGED: Final = Trap(
    "tcp_unjudged", _WARNING,
    "It passes bytes on without looking at requests.",
    "Close the listener, or see that no upstream of the gateway is behind it.",
)  # fmt: skip
VERSION_UNTESTED: Final = Trap(
    "version_untested", _WARNING,
    "The order of filters, metadata and clean ends of streams have been verified on the tested versions only.",
    "Run a tested version of Envoy, or run the test suite with this one.",
)  # fmt: skip
UPDATE_REFUSED: Final = Trap(
    "update_refused", _ERROR,
    "Envoy runs on with what it had before: what was changed is not in force.",
    "Mend what Envoy complains of; its management server sends it anew.",
)  # fmt: skip

# Clusters ------------------------------------------------------------------------------------------------------------

CIRCUIT_BREAKER: Final = Trap(
    "circuit_breaker", _ERROR,
    "One exchange in flight is one stream to the policy server: Envoy's default of 1,024 is a ceiling on all of "
    "them, and those above it fail.",
    "`circuit_breakers` of its cluster: 1000000 for connections, pending requests and requests (Envoy Gateway: "
    "`backendSettings.circuitBreaker`).",
)  # fmt: skip
UPSTREAM_BREAKER: Final = Trap(
    "upstream_breaker", _WARNING,
    "No more than 1,024 exchanges with this upstream are in flight at once: those above it are refused after they "
    "were allowed.",
    "Raise `circuit_breakers` of the cluster (Envoy Gateway: BackendTrafficPolicy, `circuitBreaker`).",
)  # fmt: skip
POLICY_IN_CLEAR: Final = Trap(
    "policy_in_clear", _WARNING,
    "Prompts, tokens and verdicts cross the network for anybody to read, and whoever answers in the policy server's "
    "place allows everything.",
    "A unix socket or loopback, or mutual TLS: `server.tls` (Envoy Gateway: BackendTLSPolicy).",
)  # fmt: skip
UPSTREAM_UNVERIFIED: Final = Trap(
    "upstream_unverified", _ERROR,
    "Whoever answers in the provider's place gets its key and the prompts.",
    "`validation_context` with `trusted_ca` and `match_typed_subject_alt_names`.",
)  # fmt: skip
HANGING_UNNOTICED: Final = Trap(
    "hanging_unnoticed", _WARNING,
    "A policy server that was stopped keeps its connection open: Envoy asks it until TCP gives up, a quarter of an "
    "hour.",
    "`connection_keepalive: {interval: 5s, timeout: 3s}` in `http2_protocol_options` of its cluster.",
)  # fmt: skip

ALL: Final = {trap.code: trap for trap in list(vars().values()) if isinstance(trap, Trap)}
"""Every trap, by its code."""
