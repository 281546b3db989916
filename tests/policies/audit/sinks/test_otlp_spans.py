"""Spans on the wire, and requests of bounded size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.sinks.otlp_messages import ExportTraceServiceRequest
from policies.audit.sinks.otlp_spans import TRUNCATED, Happened, Outcome, Scope, Span, SpanKind, message, packed
from tests.policies.audit.sinks.otlp_receiver import named
from tests.policies.audit.sinks.trace_receiver import spans_of

SCOPE = Scope("langfuse-sdk", "5.0.4", {"public_key": "pk-1"})
RESOURCE = {"service.name": "sluicegate", "empty": ""}


def span(number: int = 1, **fields: Any) -> Span:
    return replace(Span(trace="0a" * 16, span=f"{number:016x}", name="n", start=1, end=2), **fields)


def test_a_span_is_the_bytes_that_the_specification_gives_it() -> None:
    """Written by hand from opentelemetry-proto's field numbers and protobuf's encoding."""
    whole = span(
        parent="0b" * 8,
        kind=SpanKind.CLIENT,
        attributes={"k": True},
        events=(Happened("e", 3, {"a": 1.0}),),
        outcome=Outcome.ERROR,
        message="m",
    )
    assert (
        message(whole).SerializeToString(deterministic=True)
        == (
            b"\x0a\x10" + b"\x0a" * 16 + b"\x12\x08" + b"\0" * 7 + b"\x01"  # 1, 2: bytes
            b"\x22\x08" + b"\x0b" * 8 + b"\x2a\x01n" + b"\x30\x03"  # 4: bytes; 5: text; 6: varint
            b"\x39\x01\0\0\0\0\0\0\0\x41\x02\0\0\0\0\0\0\0"  # 7, 8: fixed64
            b"\x4a\x07\x0a\x01k\x12\x02\x10\x01"  # 9: KeyValue
            # 11: an event with 1: fixed64, 2: text, 3: KeyValue
            b"\x5a\x1c\x09\x03\0\0\0\0\0\0\0\x12\x01e\x1a\x0e\x0a\x01a\x12\x09\x21\0\0\0\0\0\0\xf0\x3f"
            b"\x7a\x05\x12\x01m\x18\x02"  # 15: Status with 2 and 3
            b"\x85\x01\x01\0\0\0"  # 16: fixed32
        )
    )


def test_opentelemetrys_own_classes_read_it() -> None:
    common = pytest.importorskip("opentelemetry.proto.common.v1.common_pb2")
    if not hasattr(common, "InstrumentationScope"):
        pytest.skip("Envoy's package has installed its older classes over those of opentelemetry-proto")
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    whole = span(attributes={"texts": ["a", "b"], "n": 7}, events=(Happened("e", 3),), outcome=Outcome.ERROR)
    [request] = packed([[whole]], RESOURCE, SCOPE, 20_000)
    read = trace_service_pb2.ExportTraceServiceRequest.FromString(request.body)
    [scope] = read.resource_spans[0].scope_spans
    assert (scope.scope.name, scope.scope.attributes[0].value.string_value) == ("langfuse-sdk", "pk-1")
    [found] = scope.spans
    assert (found.name, found.status.code, found.flags, found.events[0].name) == ("n", 2, 1, "e")
    assert [one.string_value for one in found.attributes[0].value.array_value.values] == ["a", "b"]
    assert [one.key for one in read.resource_spans[0].resource.attributes] == ["service.name"]


@given(st.lists(st.lists(st.integers(0, 9_000), min_size=1, max_size=4), max_size=12))
def test_requests_are_bounded_and_hold_everything_in_order(items: list[list[int]]) -> None:
    number, made = 0, []
    for sizes in items:
        made.append([span(number := number + 1, attributes={"x": "y" * size}) for size in sizes])
    requests = packed(made, RESOURCE, SCOPE, 16_384)
    assert all(len(one.body) <= 16_384 for one in requests)
    assert [index for one in requests for index in range(one.first, one.end)] == list(range(len(items)))
    ids = [found.span_id for one in requests for found in spans_of(ExportTraceServiceRequest.FromString(one.body))]
    assert ids == [(each + 1).to_bytes(8, "big") for each in range(number)]


def test_what_is_too_long_loses_its_longest_attributes_and_says_so() -> None:
    long = span(1, attributes={"input": "漢" * 20_000, "model": "gpt-4o", "why": "x" * 20_000, "less": "z" * 300})
    other = span(2, attributes={"model": "gpt-4o"}, events=(Happened("e", 3),))
    [request] = packed([[long, other]], RESOURCE, SCOPE, 16_384)
    first, second = spans_of(ExportTraceServiceRequest.FromString(request.body))
    assert named(first.attributes) == {"model": "gpt-4o", "less": "z" * 300, TRUNCATED: ["input", "why"]}
    assert named(second.attributes) == {"model": "gpt-4o"}
    assert len(second.events) == 1


def test_nothing_is_no_request() -> None:
    assert packed([], RESOURCE, SCOPE, 16_384) == []
