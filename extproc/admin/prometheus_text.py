"""Metrics in the text format of Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from extproc.admin.prometheus_series import families
from extproc.workers.board import Overview, Told, View
from extproc.workers.status import is_gauge

_LABELS: Final = ("worker", "role")
_ACCEPT: Final = re.compile(r"[ -~]{0,1000}")
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
    def __init__(self, overview: Overview, told: Told) -> None:
        self._overview = overview
        self._told = told

    def collect(self) -> Iterator[Metric]:
        own = list(self._own())
        yield from own
        yield from families(self._told, {family.name for family in own})

    def _own(self) -> Iterator[Metric]:
        views = self._overview.views
        yield _by_worker(views, "up", "1 while there is a process.", [int(view.pid is not None) for view in views])
        yield _by_worker(views, "ready", "1 while it can decide.", [int(view.ready) for view in views])
        yield _by_worker(views, "memory_bytes", "Memory that it holds.", [view.memory for view in views])
        starts = CounterMetricFamily("sluicegate_worker_starts", "Processes that were started.", labels=_LABELS)
        for view in views:
            starts.add_metric(_labels(view), view.starts)
        yield starts
        yield from _counters(self._overview)


def metrics(overview: Overview, told: Told, accept: str = "") -> tuple[bytes, str]:
    """The text, and its content type: OpenMetrics or that of Prometheus, as `accept` wants it.

    A series `sluicegate_worker_…` for each worker, and the sum of all without `worker_`. They have different names, so
    that nobody adds a sum to what it is the sum of. Then what was counted and measured, in sum alone.
    """
    try:
        # What is wanted is repeated in the answer's content type.
        encode, content_type = choose_encoder(accept if _ACCEPT.fullmatch(accept) else "")
    except (TypeError, ValueError):
        # A version that is none.
        encode, content_type = choose_encoder("")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reader(overview, told))
    return encode(registry), content_type


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
