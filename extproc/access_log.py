"""From an entry of Envoy's gRPC access log to a `Completion`. Pure, but for the names of what has none.

Envoy writes one entry for each request, however it ends. Two meters may have left their counts in it: our own
`usage.lua` (namespace `sluicegate.usage`) and Envoy AI Gateway (`io.envoy.ai_gateway`). Where both did, AI Gateway's are
taken: it has translated the provider's own answer. What AI Gateway does not count stands as ours in every case: content
chunks, writes kept for an hour, audio, searches, and the service tier. It tells nothing of answers that broke off, and 0
of those that say nothing of usage: there ours are taken, or nothing is known.

Sources: envoy/data/accesslog/v3/accesslog.proto; Envoy's response code details; AI Gateway's `llmRequestCosts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, Final

from msgspec.structs import replace

from extproc.call import METERS, Call
from extproc.catalogue import Target
from extproc.completion import Completion, EndedBy, Ending, Meter, Usage, Verdict
from extproc.exchange import Dialect
from extproc.protos import AccessLogType, HTTPAccessLogEntry, Message
from extproc.travel import AI_GATEWAY_NAMESPACE, NAMESPACE, USAGE_NAMESPACE, Travel

_FINAL_TYPES: Final = frozenset({AccessLogType.Value("NotSet"), AccessLogType.Value("DownstreamEnd")})
_METHODS: Final[Mapping[int, str]] = {
    value.number: value.name
    for value in HTTPAccessLogEntry.DESCRIPTOR.file.pool.FindEnumTypeByName("envoy.config.core.v3.RequestMethod").values
    if value.number
}
_AI_GATEWAY_KEYS: Final = {
    "input": "llm_input_token",
    "output": "llm_output_token",
    "total": "llm_total_token",
    "cached_input": "llm_cached_input_token",
    "cache_write": "llm_cache_creation_input_token",
    "reasoning": "llm_reasoning_token",
}
_LUA_KEYS: Final = {name: name for name in _AI_GATEWAY_KEYS}
_PARTS_OF_BOTH: Final = ("cached_input", "cache_write", "reasoning")
_PART_KEYS: Final = ("cache_write_1h", "audio_input", "audio_output", "tool_calls")
_TIER: Final = re.compile(r"[a-z0-9_-]{1,32}")
_USUAL_TIERS: Final = frozenset({"auto", "batch", "default", "flex", "priority", "standard"})
_BACKEND_IN_ROUTE: Final = re.compile(r"([^/]+)/([^/]+)/route/([^/]+)/rule/[0-9]+/ref/[0-9]+")
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
# An enumeration looks for its members itself, in 0.1 us.
_ALLOW, _NONE, _REFUSED, _ANTHROPIC, _LUA = Verdict.ALLOW, Verdict.NONE, Ending.REFUSED, Dialect.ANTHROPIC, Meter.LUA
_USUAL_END: Final = (Ending.ANSWERED, EndedBy.UPSTREAM)
_MAX_COUNT: Final = 1e9
"""No call takes or makes so many tokens: whoever says so is not believed."""
_SENT: Final = "time_to_first_upstream_tx_byte"
"""Is there as soon as Envoy has begun to send the request to an upstream."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_NOTHING: Final[Mapping[str, Any]] = {}
_CLIENT_FLAGS: Final = frozenset({"downstream_connection_termination", "downstream_remote_reset"})
_TIMEOUT_FLAGS: Final = frozenset(
    {"stream_idle_timeout", "upstream_request_timeout", "duration_timeout", "upstream_max_stream_duration_reached"}
)
_UNAVAILABLE_FLAGS: Final = frozenset(
    {"failed_local_healthcheck", "no_healthy_upstream", "upstream_connection_failure", "upstream_overflow"}
    | {"no_cluster_found", "dns_resolution_failure", "upstream_retry_limit_exceeded"}
)
_UNROUTED: Final = frozenset({"route_not_found", "direct_response"})
"""Details of an exchange for which Envoy has no route; on the path of an opaque route it answers by itself."""
_UPSTREAM_FLAGS: Final = frozenset(
    {"upstream_connection_termination", "upstream_remote_reset", "local_reset", "upstream_protocol_error"}
)


def read_entry(entry: Message, travel: Travel) -> Completion | None:
    """The completion of one entry; None for entries that do not end a request (a stream's beginning, periodic ones)."""
    common = entry.common_properties
    if common.access_log_type not in _FINAL_TYPES:
        return None
    metadata = common.metadata.filter_metadata
    lua = _scalars(metadata[USAGE_NAMESPACE]) if USAGE_NAMESPACE in metadata else _NOTHING
    gateway = _scalars(metadata[AI_GATEWAY_NAMESPACE]) if AI_GATEWAY_NAMESPACE in metadata else _NOTHING
    # Of our own namespace two values are wanted, and all twelve would cost 2 us.
    ours = metadata[NAMESPACE].fields if NAMESPACE in metadata else _NOTHING
    luggage = travel.unpack(ours["facts"].string_value) if "facts" in ours else None
    facts = luggage.facts if luggage else {}
    verdict = _VERDICTS.get(ours["verdict"].string_value, _NONE) if "verdict" in ours else _NONE
    flags: tuple[str, ...] = ()
    if common.HasField("response_flags"):
        flags = tuple(field.name for field, value in common.response_flags.ListFields() if value is True)
    request, response = entry.request, entry.response
    details = response.response_code_details
    ending, ended_by = classify(verdict, flags, details, answered=bool(common.upstream_cluster))
    target = facts.get(Target)
    call = facts.get(Call)
    beside = call is not None and call.dialect is _ANTHROPIC
    # AI Gateway counts what only counts tokens too, which nobody bills.
    usage = _told_by_ai_gateway(gateway, beside, lua) if gateway and _uses_a_model(call) else None
    if usage is None:
        usage = _usage(lua, _LUA_KEYS, _LUA, beside, lua)
    backend, route = _backend_and_route(gateway) if gateway else (None, None)
    return Completion(
        # What is no HTTP has no name before Envoy refuses it.
        id=luggage.exchange_id if luggage else common.stream_id or request.request_id or token_hex(16),
        request_id=request.request_id or common.stream_id,
        method=_method(request.request_method),
        path=(luggage and luggage.path) or request.path.partition("?")[0][:512],
        status=response.response_code.value,
        verdict=verdict,
        ending=ending,
        ended_by=ended_by,
        started=_time(common.start_time),
        duration=_seconds(common.duration) or 0.0,
        first_byte=_seconds(common.time_to_first_downstream_tx_byte)
        if common.HasField("time_to_first_downstream_tx_byte")
        else None,
        bytes_in=request.request_body_bytes,
        bytes_out=response.response_body_bytes,
        usage=usage,
        output_floor=_count(lua.get("chunks")),
        upstream=target.upstream if target and verdict is _ALLOW else None,
        response_model=_text(gateway.get("response_model")) or _text(lua.get("model")),
        backend=backend,
        route=route,
        decisions=luggage.decisions if luggage else (),
        flags=flags,
        marks=luggage.marks if luggage else (),
        details=details[:200],
        facts=facts,
        tier=_tier(lua) if usage is None else usage.tier,
        unsent=ending is _REFUSED and verdict is _ALLOW and not common.HasField(_SENT),
    )


def classify(verdict: Verdict, raised: Iterable[str], details: str, *, answered: bool) -> tuple[Ending, EndedBy]:
    """How the exchange ended and who ended it.

    `answered`: an upstream was chosen. Order matters: a client that left explains whatever followed.
    """
    if verdict is _ALLOW and details == "via_upstream" and not raised:
        # The usual end, told at once: saves 1 us.
        return _USUAL_END
    flags = frozenset(raised)
    if flags & _CLIENT_FLAGS or details.startswith("downstream_remote_disconnect"):
        return Ending.CLIENT_GONE, EndedBy.CLIENT
    if verdict is Verdict.REJECT:
        return Ending.REJECTED, EndedBy.POLICY
    if verdict is Verdict.RESPOND:
        return Ending.RESPONDED, EndedBy.POLICY
    if details.startswith("ext_proc_"):
        # The policy server failed, whatever it had said before; a time-out of its messages is no limit of the exchange.
        return Ending.REFUSED, EndedBy.GATEWAY
    if details.startswith("upstream_reset_before_response_started"):
        # Also where connecting took too long.
        return Ending.UPSTREAM_UNAVAILABLE, EndedBy.UPSTREAM
    if flags & _TIMEOUT_FLAGS or "timeout" in details:
        return Ending.TIMED_OUT, EndedBy.GATEWAY
    if details.startswith("upstream_reset_after_response_started"):
        return Ending.UPSTREAM_CUT, EndedBy.UPSTREAM
    if details == "via_upstream":
        cut = flags & _UPSTREAM_FLAGS
        return (Ending.UPSTREAM_CUT if cut else Ending.ANSWERED), EndedBy.UPSTREAM
    if verdict is Verdict.ALLOW and details in _UNROUTED:
        # Envoy's own configuration is older than ours: no provider is to blame, and none was asked.
        return Ending.UPSTREAM_UNAVAILABLE, EndedBy.GATEWAY
    if flags & (_UNAVAILABLE_FLAGS | _UPSTREAM_FLAGS):
        return Ending.UPSTREAM_UNAVAILABLE, EndedBy.UPSTREAM
    if verdict is Verdict.ALLOW and answered:
        return Ending.ANSWERED, EndedBy.UPSTREAM
    return Ending.REFUSED, EndedBy.GATEWAY


def _scalars(struct: Message) -> dict[str, Any]:
    values = {}
    fields = struct.fields
    # `items()` makes two objects more of each field, which costs 1 us.
    for name in fields:
        value = fields[name]
        # Counts, nearly always, and then names. Only what is empty must be told from what is something else.
        number = value.number_value
        if number:
            values[name] = number
        elif text := value.string_value:
            values[name] = text
        elif value.HasField("number_value"):
            values[name] = number
        elif value.HasField("string_value"):
            values[name] = ""
        elif value.HasField("bool_value"):
            values[name] = value.bool_value
    return values


def _usage(
    values: Mapping[str, Any], keys: Mapping[str, str], meter: Meter, beside: bool, lua: Mapping[str, Any]
) -> Usage | None:
    """The counts under these keys, or None if neither input nor output was counted, or anything that was is no count.

    A provider that states no total has one all the same. `beside`: cached input and cache writes are counted beside the
    input, not inside it. `lua`: where to find what only our own meter reads.
    """
    if not values:
        return None
    if keys["input"] not in values and keys["output"] not in values:
        return None
    counts = []
    for key in keys.values():
        value = values.get(key, 0.0)
        # Written out: as a function this would be 1 us for the six.
        if not isinstance(value, float) or not 0 <= value <= _MAX_COUNT:
            # Settling an unreadable count as 0 would charge nothing; without usage the estimate stands.
            return None
        counts.append(int(value))
    taken, given, total, cached, written, reasoning = counts
    if keys["total"] not in values:
        total = taken + given + (cached + written if beside else 0)
    for_an_hour = heard = spoken = searches = 0
    if not lua.keys().isdisjoint(_PART_KEYS):
        parts = [lua.get(key, 0.0) for key in _PART_KEYS]
        if not all(_is_count(part) for part in parts):
            return None
        for_an_hour, heard, spoken, searches = map(int, parts)
    tier = _tier(lua)
    return Usage(taken, given, total, cached, written, reasoning, meter, for_an_hour, heard, spoken, searches, tier)


def _told_by_ai_gateway(values: Mapping[str, Any], beside: bool, lua: Mapping[str, Any]) -> Usage | None:
    """AI Gateway's counts, in the meaning of the dialect in which the answer was given.

    It counts cached input and cache writes inside the input whatever the provider is (its
    `ExtractTokenUsageFromExplicitCaching`), and says 0 where it was told nothing.
    """
    usage = _usage(values, _AI_GATEWAY_KEYS, Meter.AI_GATEWAY, False, lua)
    if usage is None or not (usage.input or usage.output):
        return None
    inside = usage.cached_input + usage.cache_write
    changed: dict[str, Any] = {"input": max(0, usage.input - inside)} if beside and inside else {}
    # Of some providers it leaves out a part of what it counts.
    for name in _PARTS_OF_BOTH:
        if not getattr(usage, name) and (ours := _count(lua.get(name))):
            changed[name] = ours
    return replace(usage, **changed) if changed else usage


def _uses_a_model(call: Call | None) -> bool:
    return call is None or call.operation in METERS


def _backend_and_route(gateway: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """AI Gateway's names for them; where it tells none, out of that for a backend in a route, which it tells before the
    answer: `namespace/backend/route/name/rule/0/ref/0`."""
    backend, route = _text(gateway.get("ai_service_backend_name")), _text(gateway.get("route_name"))
    found = _BACKEND_IN_ROUTE.fullmatch(_text(gateway.get("backend_name")) or "")
    if found is None:
        return backend, route
    namespace, named, through = found.groups()
    return backend or _text(f"{namespace}/{named}"), route or _text(f"{namespace}/{through}")


def _tier(lua: Mapping[str, Any]) -> str:
    """The service tier as the answer names it; "" where it names none."""
    tier = lua.get("tier", "")
    if not tier:
        return ""
    return tier if tier in _USUAL_TIERS or (isinstance(tier, str) and _TIER.fullmatch(tier)) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= _MAX_COUNT


def _count(value: object) -> int:
    """A count out of a Struct, where every number is a double. What is no count is none."""
    return int(value) if isinstance(value, float) and 0 <= value <= _MAX_COUNT else 0


def _method(number: int) -> str:
    return _METHODS.get(number, "")


def _text(value: object) -> str | None:
    return value[:256] if isinstance(value, str) and value else None


def _seconds(duration: Message) -> float | None:
    seconds: float = duration.seconds + duration.nanos / 1e9
    return seconds


def _time(timestamp: Message) -> datetime:
    try:
        nanos = timestamp.nanos
        if not 0 <= nanos <= 999_999_999:
            nanos = 0 if nanos < 0 else 999_999_999
        return _EPOCH + timedelta(0, timestamp.seconds, nanos // 1000)
    except OverflowError:
        return _EPOCH
