"""A receiver of metrics, and calls for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from policies.audit.record import Closed, Tokens
from policies.audit.sinks.otlp_messages import ExportMetricsServiceRequest, Message
from tests.policies.audit.sinks.otlp_receiver import Receiver, named
from tests.policies.audit.sinks.trace_receiver import closing

Told: TypeAlias = dict[tuple[str, frozenset[tuple[str, Any]]], tuple[int, float]]
"""Count and sum of each series, by the metric's name and the attributes."""


class MetricReceiver(Receiver):
    """Decodes ExportMetricsServiceRequest. What is in a request are its points, each as `(metric, point)`."""

    path = "/v1/metrics"

    def decoded(self, content: bytes) -> tuple[Message, list[Message]]:
        request = ExportMetricsServiceRequest.FromString(content)
        return request, list(points_of(request))

    def sums(self) -> Told:
        """Of each series what was taken last."""
        return sums_of(self.taken)


def points_of(request: Message) -> Iterator[tuple[Message, Message]]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.histogram.data_points:
                    yield metric, point


def sums_of(points: Iterable[tuple[Message, Message]]) -> Told:
    return {
        (metric.name, frozenset(named(point.attributes).items())): (point.count, point.sum) for metric, point in points
    }


def stream(sequence: int, **fields: Any) -> Closed:
    """The closing of a streamed answer: 14 tokens in, 20 out, the first after 0.25 s, the last after 1.2 s."""
    tokens = Tokens(cached_input=4, input=10, output=20, total=34, weighted=40)
    return closing(sequence, sequence, **({"stream": True, "tokens": tokens, "latency_us": 1_200_000} | fields))
