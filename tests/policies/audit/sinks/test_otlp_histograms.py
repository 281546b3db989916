"""Histograms on the wire, and requests of bounded size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.sinks.histograms import OVERFLOW, Attributes, Series
from policies.audit.sinks.model_calls import DURATION, INSTRUMENTS, PER_TOKEN, TOKENS
from policies.audit.sinks.otlp_histograms import Origin, Period, packed, point
from policies.audit.sinks.otlp_messages import ExportMetricsServiceRequest, HistogramDataPoint
from tests.policies.audit.sinks.metric_receiver import points_of
from tests.policies.audit.sinks.otlp_receiver import named

ORIGIN = Origin({"service.name": "sluicegate", "empty": ""}, "sluicegate.audit", "1")
PERIOD = Period(1, 2)


def series(attributes: Attributes = (("k", "v"),), total: int = 1_500_000) -> Series:
    return Series(DURATION, attributes, (1, 2, *[0] * 13), total)


def test_a_point_is_the_bytes_that_the_specification_gives_it() -> None:
    """Written by hand from opentelemetry-proto's field numbers and protobuf's encoding."""
    made = HistogramDataPoint(
        start_time_unix_nano=1, time_unix_nano=2, count=3, sum=0.0, bucket_counts=[1, 2], explicit_bounds=[1.0]
    )
    assert made.SerializeToString(deterministic=True) == (
        b"\x11\x01\0\0\0\0\0\0\0\x19\x02\0\0\0\0\0\0\0\x21\x03\0\0\0\0\0\0\0"  # 2, 3, 4: fixed64
        b"\x29\0\0\0\0\0\0\0\0"  # 5: a double that is told although it is 0
        b"\x32\x10\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"  # 6: packed fixed64
        b"\x3a\x08\0\0\0\0\0\0\xf0\x3f"  # 7: packed double
    )


def test_a_series_in_its_unit() -> None:
    made = point(series(), PERIOD)
    assert (made.start_time_unix_nano, made.time_unix_nano, made.count, made.sum) == (1, 2, 3, 1.5)
    assert list(made.bucket_counts) == [1, 2, *[0] * 13]
    assert tuple(made.explicit_bounds) == DURATION.bounds
    assert named(point(series(OVERFLOW), PERIOD).attributes) == {"otel.metric.overflow": True}


def test_others_read_it() -> None:
    """With the classes that OpenTelemetry generates itself, of those that are installed here."""
    theirs = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    [request] = packed([series(), Series(TOKENS, (), (3, *[0] * 14), 3)], PERIOD, ORIGIN, 16_384)
    [resource] = theirs.ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    assert {each.key: each.value.string_value for each in resource.resource.attributes} == {"service.name": "sluicegate"}
    [duration, tokens] = resource.ListFields()[1][1][0].metrics
    assert (duration.name, duration.unit) == ("gen_ai.server.request.duration", "s")
    assert (tokens.name, tokens.unit) == ("gen_ai.client.token.usage", "{token}")
    assert duration.histogram.aggregation_temporality == tokens.histogram.aggregation_temporality == 2
    [one] = duration.histogram.data_points
    assert (one.start_time_unix_nano, one.time_unix_nano, one.count, one.sum) == (1, 2, 3, 1.5)
    assert (list(one.bucket_counts), tuple(one.explicit_bounds)) == ([1, 2, *[0] * 13], DURATION.bounds)


_series = st.builds(
    lambda instrument, value: Series(instrument, (("k", value),), (1, *[0] * len(instrument.bounds)), 1),
    st.sampled_from(INSTRUMENTS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=256) | st.just("\u6f22" * 256),
)


@given(st.lists(_series, max_size=60), st.integers(0, 4_000))
def test_every_series_is_in_one_request_and_none_is_too_long(some: list[Series], around: int) -> None:
    origin = Origin({"service.name": "x" * around}, "sluicegate.audit")
    requests = packed(some, PERIOD, origin, 16_384)
    assert [one for request in requests for one in request.series] == some
    for request in requests:
        assert len(request.body) <= 16_384
        decoded = ExportMetricsServiceRequest.FromString(request.body)
        in_it = sorted((metric.name, named(one.attributes)["k"]) for metric, one in points_of(decoded))
        assert in_it == sorted((one.instrument.name, dict(one.attributes)["k"]) for one in request.series)


def test_a_metric_stands_once_in_a_request() -> None:
    both = [Series(one, (("k", str(number)),), (1,), 1) for number in range(3) for one in (DURATION, PER_TOKEN)]
    [request] = packed(both, PERIOD, ORIGIN, 16_384)
    [resource] = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    assert [(one.name, len(one.histogram.data_points)) for one in resource.scope_metrics[0].metrics] == [
        (DURATION.name, 3),
        (PER_TOKEN.name, 3),
    ]
    assert packed([], PERIOD, ORIGIN, 16_384) == []
