"""Access log entries become completions.

`ai_gateway.jsonl` holds entries as Envoy AI Gateway 1.1.0 on Envoy 1.40 wrote them: plain, streamed, client gone,
malformed JSON, unknown path, refused by a policy, upstream down.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from extproc import access_log
from extproc.access_log import classify, read_entry
from extproc.call import Call, Operation
from extproc.catalogue import Provider, Target
from extproc.completion import Completion, Decision, EndedBy, Ending, Meter, Usage, Verdict, by_type
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from extproc.protos import HTTPAccessLogEntry, Message
from extproc.travel import Travel
from tests.extproc.world import exchange, request

RECORDED = [
    json.loads(text)
    for text in (Path(__file__).parents[1] / "fixtures/access_log/ai_gateway.jsonl").read_text().splitlines()
]


def entry(tree: dict[str, Any]) -> Message:
    return json_format.ParseDict(tree, HTTPAccessLogEntry())


def at(second: int, microsecond: int) -> datetime:
    return datetime(2026, 11, 21, 2, 33, second, microsecond, UTC)


def recorded(name: str, **what: Any) -> Completion:
    """What the recorded entries have in common."""
    return Completion(
        **{
            "id": name,
            "request_id": name,
            "method": "POST",
            "path": "/v1/chat/completions",
            "verdict": Verdict.NONE,
            **what,
        }
    )


BY_AI_GATEWAY = Usage(70, 50, 120, meter=Meter.AI_GATEWAY)
COMPLETIONS = [
    recorded(
        "df353bfc-156e-4537-b67f-3b6cf33b58de",
        status=200,
        ending=Ending.ANSWERED,
        ended_by=EndedBy.UPSTREAM,
        started=at(45, 473886),
        duration=0.094214398,
        first_byte=0.094114089,
        bytes_in=58,
        bytes_out=625,
        usage=BY_AI_GATEWAY,
        response_model="m1",
        backend="default/up",
        route="default/llm",
        details="via_upstream",
    ),
    recorded(
        "0cfe82ba-a802-44ea-9ccb-135f8db964cd",
        status=200,
        ending=Ending.ANSWERED,
        ended_by=EndedBy.UPSTREAM,
        started=at(45, 581670),
        duration=0.822667181,
        first_byte=0.004953182,
        bytes_in=72,
        bytes_out=5285,
        usage=BY_AI_GATEWAY,
        response_model="m1",
        backend="default/up",
        route="default/llm",
        details="via_upstream",
    ),
    recorded(
        "56589238-1fde-46b0-a2db-83f2cfa8291d",
        status=200,
        ending=Ending.CLIENT_GONE,
        ended_by=EndedBy.CLIENT,
        started=at(46, 417462),
        duration=0.300706221,
        first_byte=0.006280778,
        bytes_in=72,
        bytes_out=1910,
        backend="default/up",
        route="default/llm",
        flags=("downstream_connection_termination",),
        details="downstream_remote_disconnect",
    ),
    recorded(
        "18c83242-9176-42fc-904e-72abcb49f19f",
        status=400,
        ending=Ending.REFUSED,
        ended_by=EndedBy.GATEWAY,
        started=at(46, 739173),
        duration=0.00294882,
        first_byte=0.002931263,
        bytes_in=4,
        bytes_out=197,
    ),
    recorded(
        "a537e5d4-18f1-4c62-9077-517001cbe906",
        path="/v1/nope",
        status=404,
        ending=Ending.REFUSED,
        ended_by=EndedBy.GATEWAY,
        started=at(46, 749562),
        duration=0.002235818,
        first_byte=0.002220605,
        bytes_in=2,
        bytes_out=26,
    ),
    recorded(
        "5a6dd37f-1111-44c9-bfb3-6d10c9615d34",
        status=429,
        verdict=Verdict.REJECT,
        ending=Ending.REJECTED,
        ended_by=EndedBy.POLICY,
        started=at(46, 727126),
        duration=0.00399048,
        first_byte=0.003921457,
        bytes_in=62,
        bytes_out=2,
        details="sluicegate_limits",
    ),
    recorded(
        "cee89430-78c9-4fd4-b621-6cd71dfcaf2f",
        status=503,
        ending=Ending.UPSTREAM_UNAVAILABLE,
        ended_by=EndedBy.UPSTREAM,
        started=at(47, 764454),
        duration=0.004431752,
        first_byte=0.004408828,
        bytes_in=58,
        bytes_out=98,
        flags=("upstream_connection_failure",),
        details="upstream_reset_before_response_started"
        "{remote_connection_failure|delayed_connect_error:_Connection_refused}",
    ),
]


@pytest.mark.parametrize(("tree", "expected"), list(zip(RECORDED, COMPLETIONS, strict=True)), ids=range(len(COMPLETIONS)))
def test_recorded_entries(tree: dict[str, Any], expected: Completion) -> None:
    assert read_entry(entry(tree), Travel()) == expected


IDENTITY = Identity("t1", "u1", "a1", CallerKind.USER)
CALL = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o")
TARGET = Target("up", "/v1/chat/completions", Provider.OPENAI, "gpt-4o")
DECISIONS = (Decision("access", "reject", "no", enforced=False),)


def packed() -> str:
    of = exchange()
    for fact in (IDENTITY, CALL, TARGET):
        of.put(fact)
    return Travel().pack(of, DECISIONS)


def with_metadata(**namespaces: dict[str, Any]) -> Message:
    """An answered request. Names of namespaces are written with `__` for a dot."""
    tree = json.loads(json.dumps(RECORDED[0]))
    metadata = {name.replace("__", "."): values for name, values in namespaces.items()}
    tree["common_properties"]["metadata"] = {"filter_metadata": metadata}
    return entry(tree)


OURS = {"verdict": "allow", "exchange": "ex-1", "facts": packed()}


def test_our_own_namespaces() -> None:
    lua = {"input": 5.0, "output": 7.0, "total": 12.0, "cached_input": 1.0, "cache_write": 2.0, "reasoning": 3.0}
    more = {"model": "gpt-4o-2024", "chunks": 9.0, "complete": True}
    read = read_entry(with_metadata(sluicegate=OURS, sluicegate__usage={**lua, **more}), Travel())
    assert read == msgspec.structs.replace(
        COMPLETIONS[0],
        id="ex-1",
        verdict=Verdict.ALLOW,
        usage=Usage(5, 7, 12, 1, 2, 3, Meter.LUA),
        output_floor=9,
        response_model="gpt-4o-2024",
        backend=None,
        route=None,
        upstream="up",
        decisions=DECISIONS,
        facts=by_type([IDENTITY, CALL, TARGET]),
    )
    assert read.identity == IDENTITY
    assert read.call == CALL


def test_both_meters() -> None:
    gateway = {"llm_input_token": 70.0, "llm_output_token": 50.0, "llm_total_token": 120.0, "response_model": "theirs"}
    lua = {"input": 1.0, "output": 2.0, "total": 3.0, "chunks": 4.0, "model": "ours"}
    read = read_entry(with_metadata(sluicegate=OURS, sluicegate__usage=lua, io__envoy__ai_gateway=gateway), Travel())
    assert read is not None
    assert (read.usage, read.output_floor, read.response_model) == (BY_AI_GATEWAY, 4, "theirs")


def test_all_that_ai_gateway_counts() -> None:
    counts = {
        "llm_input_token": 1.0,
        "llm_output_token": 2.0,
        "llm_total_token": 3.0,
        "llm_cached_input_token": 4.0,
        "llm_cache_creation_input_token": 5.0,
        "llm_reasoning_token": 6.0,
    }
    read = read_entry(with_metadata(io__envoy__ai_gateway=counts), Travel())
    assert read is not None
    assert read.usage == Usage(1, 2, 3, 4, 5, 6, Meter.AI_GATEWAY)


NUMBERS: list[tuple[Any, int | None]] = [
    (0.0, 0),
    (1.0, 1),
    (1.9, 1),
    (1e9, 1_000_000_000),
    (1e9 + 1, None),
    (2.0**53, None),
    (-1.0, None),
    (-0.5, None),
    (1e300, None),
    ("NaN", None),
    ("Infinity", None),
    ("12", None),
    (True, None),
    (None, None),
    ([1.0], None),
    ({"a": 1.0}, None),
]


def hostile(value: Any, **others: Any) -> Message:
    made = with_metadata(sluicegate__usage={"input": 0.0, **others})
    field = made.common_properties.metadata.filter_metadata["sluicegate.usage"].fields["input"]
    if value in ("NaN", "Infinity"):
        field.number_value = float(value)
    else:
        field.CopyFrom(json_format.ParseDict(value, type(field)()))
    return made


@pytest.mark.parametrize(("value", "count"), NUMBERS, ids=str)
def test_numbers(value: Any, count: int | None) -> None:
    """What is no count leaves the usage unknown, so that settlement keeps to the estimate."""
    read = read_entry(hostile(value), Travel())
    assert read is not None
    assert read.usage == (None if count is None else Usage(count, total=count))


@pytest.mark.parametrize("value", [-1.0, 1e300, "NaN", "12", True])
def test_one_number_that_is_no_count_spoils_both(value: Any) -> None:
    read = read_entry(hostile(value, output=5.0), Travel())
    assert read is not None
    assert read.usage is None


@pytest.mark.parametrize("value", [-1.0, 1e300, "12", True])
@pytest.mark.parametrize("name", ["cached_input", "cache_write", "reasoning", "total"])
def test_a_detail_that_is_no_count_spoils_all(name: str, value: Any) -> None:
    """As 0 it would be charged nothing, and it may be what costs most."""
    read = read_entry(with_metadata(sluicegate__usage={"input": 5.0, name: value}), Travel())
    assert read is not None
    assert read.usage is None


@pytest.mark.parametrize("value", [-1.0, 1e300, "12", True, None])
def test_what_is_beside_the_counts_spoils_nothing(value: Any) -> None:
    read = read_entry(with_metadata(sluicegate__usage={"input": 5.0, "chunks": value, "model": 1.0}), Travel())
    assert read is not None
    assert (read.usage, read.output_floor, read.response_model) == (Usage(5, total=5), 0, None)


@pytest.mark.parametrize(
    ("dialect", "stated", "total"),
    [(Dialect.OPENAI, {}, 30), (Dialect.ANTHROPIC, {}, 37), (Dialect.ANTHROPIC, {"total": 99.0}, 99)],
)
def test_a_total_that_is_not_stated_is_the_sum_of_what_stands_beside_each_other(
    dialect: Dialect, stated: dict[str, float], total: int
) -> None:
    asked = exchange()
    asked.put(Call(Operation.MESSAGES, dialect))
    counts = {"input": 10.0, "output": 20.0, "cached_input": 4.0, "cache_write": 3.0, "reasoning": 2.0, **stated}
    made = with_metadata(sluicegate={"facts": Travel().pack(asked, ())}, sluicegate__usage=counts)
    read = read_entry(made, Travel())
    assert read is not None
    assert read.usage is not None
    assert read.usage.total == total


def test_marks_arrive() -> None:
    marked = exchange()
    marked.flag("soft_limit")
    read = read_entry(with_metadata(sluicegate={"facts": Travel().pack(marked, ())}), Travel())
    assert read is not None
    assert read.marks == ("soft_limit",)


def test_garbage_of_one_meter_leaves_the_other() -> None:
    namespaces = {"sluicegate__usage": {"input": 5.0}, "io__envoy__ai_gateway": {"llm_input_token": -1.0}}
    read = read_entry(with_metadata(**namespaces), Travel())
    assert read is not None
    assert read.usage == Usage(5, total=5)


@pytest.mark.parametrize("facts", ["", "garbage", "{}", 1.0, True, None, ["x"], '{"id":"x","facts":{"Call":}}'])
@pytest.mark.parametrize("verdict", ["allow", "perhaps", 1.0, None])
def test_metadata_that_is_not_ours(facts: Any, verdict: Any) -> None:
    read = read_entry(with_metadata(sluicegate={"facts": facts, "verdict": verdict}), Travel())
    assert read is not None
    assert read.id == RECORDED[0]["common_properties"]["stream_id"]
    assert (read.facts, read.decisions, read.upstream) == ({}, (), None)
    assert read.verdict is (Verdict.ALLOW if verdict == "allow" else Verdict.NONE)


@pytest.mark.parametrize(("verdict", "upstream"), [("allow", "up"), ("reject", None), ("respond", None)])
def test_the_upstream_is_the_one_that_was_let_to(verdict: str, upstream: str | None) -> None:
    read = read_entry(with_metadata(sluicegate={**OURS, "verdict": verdict}), Travel())
    assert read is not None
    assert read.upstream == upstream


def test_an_empty_entry() -> None:
    """What is no HTTP has no name before Envoy refuses it: it gets one of its own, as records and settlement need it."""
    found, other = (read_entry(HTTPAccessLogEntry(), Travel()) for _ in range(2))
    assert found is not None
    assert other is not None
    assert re.fullmatch("[0-9a-f]{32}", found.id)
    assert found.id != other.id
    assert found == Completion(
        found.id,
        "",
        "",
        "",
        0,
        Verdict.NONE,
        Ending.REFUSED,
        EndedBy.GATEWAY,
        datetime(1970, 1, 1, tzinfo=UTC),
        0.0,
        None,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("NotSet", True),
        ("DownstreamEnd", True),
        ("DownstreamStart", False),
        ("DownstreamPeriodic", False),
        ("DownstreamTunnelSuccessfullyEstablished", False),
        ("UpstreamEnd", False),
        ("UpstreamPoolReady", False),
        ("UpstreamPeriodic", False),
        ("TcpConnectionEnd", False),
    ],
)
def test_only_the_end_of_a_request_completes_it(kind: str, ends: bool) -> None:
    assert (read_entry(entry({"common_properties": {"access_log_type": kind}}), Travel()) is not None) is ends


def test_numbers_of_a_later_envoy_or_of_none() -> None:
    made = entry(RECORDED[0])
    made.request.request_method = 99
    made.common_properties.start_time.seconds = 2**60
    made.common_properties.duration.seconds = -5
    read = read_entry(made, Travel())
    assert read is not None
    assert (read.method, read.started, read.path) == ("", datetime(1970, 1, 1, tzinfo=UTC), "/v1/chat/completions")


@pytest.mark.parametrize(
    ("request_part", "path"),
    [
        ({"path": "/v1/x?api-key=hunter2"}, "/v1/x"),
        ({"path": "/v1/x", "original_path": "/what/the/client/says"}, "/v1/x"),
        ({"path": "/" + "a" * 1000}, "/" + "a" * 511),
        ({"path": "?hunter2"}, ""),
    ],
)
def test_paths_hold_no_query(request_part: dict[str, str], path: str) -> None:
    read = read_entry(entry({"request": request_part}), Travel())
    assert read is not None
    assert read.path == path


def test_the_path_is_the_one_that_was_judged() -> None:
    asked = exchange(request("/openai/deployments/x/embeddings?api-version=2024-10-21"))
    made = entry(
        {
            "request": {"path": "/v1/embeddings", "original_path": "/lie"},
            "common_properties": {"metadata": {"filter_metadata": {"sluicegate": {"facts": Travel().pack(asked, ())}}}},
        }
    )
    read = read_entry(made, Travel())
    assert read is not None
    assert read.path == "/openai/deployments/x/embeddings"


ALLOW, REJECT, RESPOND, NONE = Verdict.ALLOW, Verdict.REJECT, Verdict.RESPOND, Verdict.NONE
ANSWERED = (Ending.ANSWERED, EndedBy.UPSTREAM)
RESPONDED = (Ending.RESPONDED, EndedBy.POLICY)
REJECTED = (Ending.REJECTED, EndedBy.POLICY)
REFUSED = (Ending.REFUSED, EndedBy.GATEWAY)
UNAVAILABLE = (Ending.UPSTREAM_UNAVAILABLE, EndedBy.UPSTREAM)
UNROUTED = (Ending.UPSTREAM_UNAVAILABLE, EndedBy.GATEWAY)
CUT = (Ending.UPSTREAM_CUT, EndedBy.UPSTREAM)
TIMED_OUT = (Ending.TIMED_OUT, EndedBy.GATEWAY)
GONE = (Ending.CLIENT_GONE, EndedBy.CLIENT)
BEFORE = "upstream_reset_before_response_started"
AFTER = "upstream_reset_after_response_started"

ENDINGS: list[tuple[Verdict, str, str, bool, tuple[Ending, EndedBy]]] = [
    (ALLOW, "", "via_upstream", True, ANSWERED),
    (NONE, "", "via_upstream", True, ANSWERED),
    (ALLOW, "", "", True, ANSWERED),
    (REJECT, "", "sluicegate_no", False, REJECTED),
    (REJECT, "", "sluicegate_policy_timeout", False, REJECTED),
    (REJECT, "", "sluicegate_no", True, REJECTED),
    (RESPOND, "", "sluicegate_respond", False, RESPONDED),
    (NONE, "", "rbac_access_denied_matched_policy[none]", False, REFUSED),
    (NONE, "", "request_payload_too_large", False, REFUSED),
    (NONE, "", "request_headers_too_large", False, REFUSED),
    (NONE, "downstream_protocol_error", "http1.codec_error", False, REFUSED),
    (NONE, "downstream_protocol_error", "http1.unexpected_underscore", False, REFUSED),
    (NONE, "", "missing_host_header", False, REFUSED),
    (NONE, "", "", False, REFUSED),
    (NONE, "", "ext_proc_error_gRPC_error_14", False, REFUSED),
    (NONE, "", "ext_proc_error_gRPC_error_14{upstream_reset}", True, REFUSED),
    (NONE, "", "ext_proc_error_per-message_timeout_exceeded", False, REFUSED),
    (ALLOW, "", "ext_proc_error_per-message_timeout_exceeded", True, REFUSED),
    (NONE, "unauthorized_external_service", "ext_proc_error_x", False, REFUSED),
    (NONE, "overload_manager", "overload", False, REFUSED),
    (ALLOW, "upstream_connection_failure", BEFORE + "{remote_connection_failure}", True, UNAVAILABLE),
    (NONE, "upstream_connection_failure", BEFORE + "{remote_connection_failure}", True, UNAVAILABLE),
    (ALLOW, "upstream_connection_failure", BEFORE + "{connection_timeout}", True, UNAVAILABLE),
    (ALLOW, "upstream_connection_termination", BEFORE + "{connection_termination}", True, UNAVAILABLE),
    (ALLOW, "upstream_remote_reset", BEFORE + "{remote_reset}", True, UNAVAILABLE),
    (ALLOW, "upstream_overflow", BEFORE + "{overflow}", True, UNAVAILABLE),
    (ALLOW, "no_healthy_upstream", "no_healthy_upstream", True, UNAVAILABLE),
    (ALLOW, "failed_local_healthcheck", "x", True, UNAVAILABLE),
    (ALLOW, "no_route_found", "route_not_found", False, UNROUTED),
    (ALLOW, "", "direct_response", False, UNROUTED),
    (NONE, "", "direct_response", False, REFUSED),
    (NONE, "no_route_found", "route_not_found", False, REFUSED),
    (ALLOW, "no_cluster_found", "cluster_not_found", False, UNAVAILABLE),
    (ALLOW, "dns_resolution_failure", "dns_resolution_failure", True, UNAVAILABLE),
    (ALLOW, "upstream_protocol_error", "upstream_reset", True, UNAVAILABLE),
    (ALLOW, "upstream_connection_termination", AFTER + "{connection_termination}", True, CUT),
    (ALLOW, "upstream_remote_reset", AFTER + "{remote_reset}", True, CUT),
    (ALLOW, "", AFTER + "{protocol_error}", True, CUT),
    (ALLOW, "upstream_protocol_error", "via_upstream", True, CUT),
    (ALLOW, "upstream_request_timeout", "response_timeout", True, TIMED_OUT),
    (ALLOW, "upstream_request_timeout", "upstream_response_timeout", True, TIMED_OUT),
    (ALLOW, "upstream_request_timeout", "via_upstream", True, TIMED_OUT),
    (ALLOW, "stream_idle_timeout", "stream_idle_timeout", True, TIMED_OUT),
    (NONE, "stream_idle_timeout", "stream_idle_timeout", False, TIMED_OUT),
    (NONE, "", "request_overall_timeout", False, TIMED_OUT),
    (NONE, "", "request_header_timeout", False, TIMED_OUT),
    (ALLOW, "duration_timeout", "max_duration_timeout", True, TIMED_OUT),
    (ALLOW, "upstream_max_stream_duration_reached", "upstream_max_stream_duration_reached", True, TIMED_OUT),
    (ALLOW, "downstream_connection_termination", "downstream_remote_disconnect", True, GONE),
    (ALLOW, "downstream_connection_termination", "via_upstream", True, GONE),
    (ALLOW, "downstream_remote_reset", "http2.remote_reset", True, GONE),
    (NONE, "downstream_connection_termination", "downstream_remote_disconnect", False, GONE),
    (REJECT, "downstream_connection_termination", "sluicegate_no", False, GONE),
    (ALLOW, "", "downstream_remote_disconnect", True, GONE),
    (ALLOW, "upstream_connection_termination downstream_connection_termination", AFTER, True, GONE),
]


@pytest.mark.parametrize(("verdict", "flags", "details", "answered", "expected"), ENDINGS)
def test_endings(verdict: Verdict, flags: str, details: str, answered: bool, expected: tuple[Ending, EndedBy]) -> None:
    known = HTTPAccessLogEntry().common_properties.response_flags.DESCRIPTOR.fields_by_name
    assert all(flag in known for flag in flags.split() if flag != "unauthorized_external_service")
    assert classify(verdict, frozenset(flags.split()), details, answered=answered) == expected


def test_envoy_knows_every_flag_that_is_looked_for() -> None:
    known = set(HTTPAccessLogEntry().common_properties.response_flags.DESCRIPTOR.fields_by_name)
    groups = ("_CLIENT_FLAGS", "_TIMEOUT_FLAGS", "_UNAVAILABLE_FLAGS", "_UPSTREAM_FLAGS")
    assert set().union(*(getattr(access_log, group) for group in groups)) - known == set()


longs = st.integers(-(2**63), 2**63 - 1)
ints = st.integers(-(2**31), 2**31 - 1)


@given(longs, ints, longs, ints, st.floats(), st.floats(), st.integers(0, 2**31 - 1))
def test_any_number_is_read(
    second: int, nano: int, length: int, rest: int, usage: float, chunks: float, method: int
) -> None:
    made = with_metadata(sluicegate__usage={"input": 0.0, "chunks": 0.0})
    common = made.common_properties
    common.start_time.seconds, common.start_time.nanos = second, nano
    common.duration.seconds, common.duration.nanos = length, rest
    made.request.request_method = method
    fields = common.metadata.filter_metadata["sluicegate.usage"].fields
    fields["input"].number_value, fields["chunks"].number_value = usage, chunks
    read = read_entry(made, Travel())
    assert read is not None
    assert read.output_floor >= 0
    assert read.usage is None or read.usage.input >= 0
    assert read.started.tzinfo is UTC
