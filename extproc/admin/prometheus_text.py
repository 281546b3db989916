"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from extproc.workers.board import Overview, View
from extproc.workers.status import is_gauge

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_LABELS: Final = ("worker", "role")
_VIOLATION: Final = "violation_"
_HELP: Final = {
    "access_log_messages_dropped": "Messages of Envoy's access log that were dropped because settlement was behind.",
    "completions": "Exchanges that have been settled.",
    "connections": "Connections of Envoy that were accepted.",
    "connections_open": "Connections of Envoy that are there now.",
    "log_lines_lost": "Lines that could not be written on standard output: the disk is full, or nobody reads them.",
    "streams": "gRPC streams that were opened: one for each exchange, and those of access log and health.",
    "streams_open": "gRPC streams that are there now.",
    "tls_handshakes": "TLS handshakes that were begun by a client. Those without a connection failed.",
    "tls_handshakes_open": "Connections that have not finished their TLS handshake.",
}


class _Reader(Collector):
    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        views = self._overview.views
        yield _by_worker(views, "up", "1 while there is a process.", [int(view.pid is not None) for view in views])
        yield _by_worker(views, "ready", "1 while it can decide.", [int(view.ready) for view in views])
        yield _by_worker(views, "memory_bytes", "Memory that it holds.", [view.memory for view in views])
        starts = CounterMetricFamily("sluicegate_worker_starts", "Processes that were started.", labels=_LABELS)
        for view in views:
            starts.add_metric(_labels(view), view.starts)
        yield starts
        yield from _counters(self._overview)


def metrics(overview: Overview) -> bytes:
    """The text: a series `sluicegate_worker_…` for each worker, and the sum of all without `worker_`.

    They have different names, so that nobody adds a sum to what it is the sum of.
    """
    registry = CollectorRegistry()
    registry.register(_Reader(overview))
    return generate_latest(registry)


def _labels(view: View) -> tuple[str, str]:
    return (str(view.seat.index), view.seat.role.value)


def _by_worker(views: Iterable[View], name: str, text: str, values: Iterable[float]) -> Metric:
    family = GaugeMetricFamily(f"sluicegate_worker_{name}", text, labels=_LABELS)
    for view, value in zip(views, values, strict=True):
        family.add_metric(_labels(view), value)
    return family


def _counters(overview: Overview) -> Iterator[Metric]:
    totals = overview.totals
    plain = [name for name in totals if not name.startswith(_VIOLATION)]
    for name in plain:
        kind = GaugeMetricFamily if is_gauge(name) else CounterMetricFamily
        text = _HELP.get(name, name.replace("_", " "))
        yield kind(f"sluicegate_{name}", text, value=totals[name])
        family = kind(f"sluicegate_worker_{name}", text, labels=_LABELS)
        for view in overview.views:
            family.add_metric(_labels(view), view.counters.get(name, 0))
        yield family
    yield from _violations(overview)


def _violations(overview: Overview) -> Iterator[Metric]:
    text = "Rules that a peer broke, by name."
    summed = CounterMetricFamily("sluicegate_violations", text, labels=("rule",))
    each = CounterMetricFamily("sluicegate_worker_violations", text, labels=("rule", *_LABELS))
    for name, count in overview.totals.items():
        if name.startswith(_VIOLATION):
            rule = name.removeprefix(_VIOLATION)
            summed.add_metric((rule,), count)
            for view in overview.views:
                each.add_metric((rule, *_labels(view)), view.counters.get(name, 0))
    yield summed
    yield each
