"""Histograms, and how they are packed into requests of bounded size (OTLP 1.x, protobuf). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.audit.sinks.histograms import Series
from policies.audit.sinks.model_calls import Instrument
from policies.audit.sinks.otlp_messages import (
    CUMULATIVE,
    ExportMetricsServiceRequest,
    Histogram,
    HistogramDataPoint,
    InstrumentationScope,
    Message,
    Metric,
    Resource,
    ResourceMetrics,
    ScopeMetrics,
    pairs,
)

_FRAME: Final = 16
"""Bytes of a tag and a length around a message, at most, with room for those above it that grow with it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who tells: attributes of the resource, the name and version of the scope."""

    resource: Mapping[str, str]
    scope: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """Since when the sums grow, and the moment as of which they are told: nanoseconds since the epoch."""

    start: int
    time: int


@dataclass(frozen=True, slots=True)
class PackedSeries:
    """A request, and the series in it."""

    body: bytes
    series: tuple[Series, ...]


def packed(series: Sequence[Series], period: Period, origin: Origin, most: int) -> list[PackedSeries]:
    """All of them in requests of at most `most` bytes, in their order.

    Args:
        most: at least 16,384, and 8,192 more than `origin` takes.
    """
    room = most - len(_request({}, origin)) - 4 * _FRAME
    requests: list[PackedSeries] = []
    held: dict[Instrument, list[Message]] = {}
    first, size = 0, 0
    for index, one in enumerate(series):
        made = point(one, period)
        own = made.ByteSize() + _FRAME
        around = 0 if one.instrument in held else _metric(one.instrument, []).ByteSize() + 2 * _FRAME
        if held and size + around + own > room:
            requests.append(PackedSeries(_request(held, origin), tuple(series[first:index])))
            first, size, held = index, 0, {}
            around = _metric(one.instrument, []).ByteSize() + 2 * _FRAME
        held.setdefault(one.instrument, []).append(made)
        size += around + own
    if held:
        requests.append(PackedSeries(_request(held, origin), tuple(series[first:])))
    return requests


def point(series: Series, period: Period) -> Message:
    """A series as it is on the wire."""
    instrument = series.instrument
    return HistogramDataPoint(
        start_time_unix_nano=period.start,
        time_unix_nano=period.time,
        count=series.count,
        sum=series.total / instrument.scale,
        bucket_counts=series.buckets,
        explicit_bounds=instrument.bounds,
        attributes=pairs(dict(series.attributes)),
    )


def _metric(instrument: Instrument, points: Sequence[Message]) -> Message:
    return Metric(
        name=instrument.name,
        description=instrument.description,
        unit=instrument.unit,
        histogram=Histogram(data_points=points, aggregation_temporality=CUMULATIVE),
    )


def _request(held: Mapping[Instrument, Sequence[Message]], origin: Origin) -> bytes:
    of_resource = ResourceMetrics(
        resource=Resource(attributes=pairs({name: text for name, text in origin.resource.items() if text})),
        scope_metrics=[
            ScopeMetrics(
                scope=InstrumentationScope(name=origin.scope, version=origin.version),
                metrics=[_metric(instrument, points) for instrument, points in held.items()],
            )
        ],
    )
    made: bytes = ExportMetricsServiceRequest(resource_metrics=[of_resource]).SerializeToString()
    return made
