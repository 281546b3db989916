"""Metrics as Prometheus has them, from those of all processes together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Collection

    from extproc.workers.board import Told
    from extproc.workers.merged import Exposed, Row


def families(told: Told, taken: Collection[str]) -> Iterator[Metric]:
    """Each metric. One of a name that is `taken` is left out: two of a name are none that Prometheus reads."""
    for metric in told.metrics:
        name = metric.definition.name.removesuffix("_total")
        if name not in taken and metric.rows:
            yield _family(metric, name)
    yield CounterMetricFamily(
        "sluicegate_metrics_refused", "Metrics of processes that were left out: they fit no other.", value=told.refused
    )
    yield CounterMetricFamily(
        "sluicegate_metrics_moved",
        "Values of ranked labels, such as tenants, whose series were added to `other` to make room.",
        value=told.moved,
    )


def _family(metric: Exposed, name: str) -> Metric:
    definition = metric.definition
    if definition.kind == "histogram":
        return _histogram(metric, name)
    kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    family = kind(name, definition.help, labels=definition.labels)
    for labels, row in metric.rows.items():
        family.add_metric(labels, row[0] / definition.per)
    return family


def _histogram(metric: Exposed, name: str) -> Metric:
    definition = metric.definition
    family = HistogramMetricFamily(name, definition.help, labels=definition.labels)
    ends = [repr(bound / definition.per) for bound in definition.bounds]
    for labels, row in metric.rows.items():
        exemplar = metric.exemplars.get(labels)
        shown = None if exemplar is None else _bucket(exemplar.value, definition.bounds)
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for index, (end, count) in enumerate(zip((*ends, "+Inf"), accumulate(row[:-1]), strict=True)):
            if exemplar is not None and index == shown:
                value = exemplar.value / definition.per
                buckets.append((end, count, Exemplar({"trace_id": exemplar.trace}, value, exemplar.at)))
            else:
                buckets.append((end, count))
        family.add_metric(labels, buckets, sum_value=row[-1] / definition.per)
    return family


def _bucket(value: int, bounds: Row) -> int:
    return next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds))
