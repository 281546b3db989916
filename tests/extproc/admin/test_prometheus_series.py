"""Counters, gauges and histograms as Prometheus reads them, with exemplars where the format has them."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from extproc.admin.prometheus_text import metrics
from extproc.metrics import Metrics
from extproc.placement import Role, Seat
from extproc.workers.board import Board

ONE = Seat(1, Role.BOTH, "unix:/x/1")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def board() -> Board:
    made, theirs = Board((ONE,)), Metrics()
    made.started(ONE, 11)
    cost = theirs.counter("ai_cost_usd_total", 'Dollars, "exactly".', ("tenant_id", "model"), 1_000_000)
    cost.add(('contoso "\\\n', "gpt-4o"), 1_500_001)
    theirs.gauge("ai_waiting", "Those who wait.", per=1_000).set(2_500)
    seconds = theirs.histogram("ai_request_seconds", "How long.", (1_000, 250_000), ("model",), 1_000_000)
    for value in (1_000, 1_001, 300_000):
        seconds.observe(("gpt-4o",), value)
    seconds.exemplify(("gpt-4o",), 1_001, TRACE, 1_795_000_000.5)
    for piece in theirs.take():
        made.measured(ONE, 11, piece)
    return made


EXPECTED = {
    ("ai_cost_usd_total", (("model", "gpt-4o"), ("tenant_id", 'contoso "\\\n'))): 1.500001,
    ("ai_waiting", ()): 2.5,
    ("ai_request_seconds_bucket", (("le", "0.001"), ("model", "gpt-4o"))): 1.0,
    ("ai_request_seconds_bucket", (("le", "0.25"), ("model", "gpt-4o"))): 2.0,
    ("ai_request_seconds_bucket", (("le", "+Inf"), ("model", "gpt-4o"))): 3.0,
    ("ai_request_seconds_count", (("model", "gpt-4o"),)): 3.0,
    ("ai_request_seconds_sum", (("model", "gpt-4o"),)): 0.302001,
}


def test_the_text_of_prometheus() -> None:
    made = board()
    text = metrics(made.read(0.0), made.metrics())[0].decode()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in plain(text)
        for sample in family.samples
        if sample.name.startswith("ai_")
    }
    assert found == EXPECTED
    assert "trace_id" not in text


def test_openmetrics_with_the_trace_of_one_in_its_bucket() -> None:
    made = board()
    text = metrics(made.read(0.0), made.metrics(), "application/openmetrics-text")[0].decode()
    families = openmetrics(text)  # type: ignore[no-untyped-call]
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("ai_")]
    assert {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples} == EXPECTED
    shown = [(one.labels["le"], one.exemplar) for one in samples if one.exemplar is not None]
    assert [(le, one.labels, one.value, float(one.timestamp)) for le, one in shown] == [
        ("0.25", {"trace_id": TRACE}, 0.001001, 1_795_000_000.5)
    ]


def test_what_has_no_series_is_not_there() -> None:
    made = Board((ONE,))
    assert b"# TYPE ai_" not in metrics(made.read(0.0), made.metrics())[0]
