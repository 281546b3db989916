"""What a process counts: added up, bounded, told in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.metrics import LONGEST, MOST, OTHER, Metrics
from extproc.snapshots import Definition, Series, Snapshot, fault, read

TENANTS = st.sampled_from(["a", "b", "c"])


def told(metrics: Metrics) -> list[Snapshot]:
    found = [read(piece) for piece in metrics.take()]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


def series(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], int | list[int]]:
    """Everything that is told, by name and labels."""
    parts = [
        (one.definition.name, labels, value)
        for part in told(metrics)
        for one in part.series
        for labels, value in one.values
    ]
    found = {(name, labels): value for name, labels, value in parts}
    assert len(found) == len(parts)
    return found


def test_a_counter_tells_what_has_come_since_the_last_time() -> None:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", ("tenant", "type"))
    counter.add(("a", "in"), 3)
    counter.add(("a", "in"))
    counter.add(("b", "in"), 0)
    assert series(metrics) == {("x_total", ("a", "in")): 4, ("x_total", ("b", "in")): 0}
    assert metrics.take() == []
    counter.add(("a", "in"), 2)
    assert series(metrics) == {("x_total", ("a", "in")): 2}


def test_a_histogram_counts_up_to_each_bound_and_one_beyond() -> None:
    metrics = Metrics()
    histogram = metrics.histogram("x_seconds", "X.", (10, 20), ("tenant",), per=1_000)
    for value in (0, 10, 11, 20, 21, -5):
        histogram.observe(("a",), value)
    assert series(metrics) == {("x_seconds", ("a",)): [3, 2, 1, 62]}
    assert metrics.take() == []


def test_a_gauge_is_told_where_it_has_changed() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("x", "X.", ("tenant",), room=2)
    gauge.set(3, ("a",))
    gauge.set(-4, ("b",))
    gauge.set(5, ("c",))
    assert series(metrics) == {("x", ("a",)): 3, ("x", ("b",)): -4}
    gauge.set(3, ("a",))
    gauge.set(-5, ("b",))
    assert series(metrics) == {("x", ("b",)): -5}
    assert metrics.take() == []


def test_a_gauge_that_reads_tells_what_is_there_no_more() -> None:
    metrics = Metrics()
    now: dict[tuple[str, ...], int] = {("a",): 1, ("b",): 2}
    metrics.gauge("x", "X.", ("tenant",), room=2, merge="max", read=lambda: now)
    assert series(metrics) == {("x", ("a",)): 1, ("x", ("b",)): 2}
    del now["a",]
    now["c",] = 3
    assert [one.values for part in told(metrics) for one in part.series] == [[(("a",), [])], [(("c",), 3)]]
    now.clear()
    assert series(metrics) == {("x", ("b",)): [], ("x", ("c",)): []}
    assert metrics.take() == []


def test_a_gauge_that_cannot_be_read_keeps_nothing_else_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> dict[tuple[str, ...], int]:
        raise KeyError("secret")

    metrics = Metrics()
    metrics.gauge("x", "X.", read=read)
    metrics.gauge("y", "Y.").set(1)
    assert series(metrics) == {("y", ()): 1}
    assert caplog.messages == ["x cannot be read: KeyError"]


def test_only_gauges_are_merged_otherwise_than_by_a_sum() -> None:
    definition = Definition("x_total", "counter", "X.", merge="max")
    assert fault(definition) == "expected a gauge: all else is summed"
    assert fault(Definition("x", "gauge", "X.", merge="max")) is None
    metrics = Metrics()
    metrics.gauge("x", "X.", merge="max")
    with pytest.raises(ValueError, match="there is another"):
        metrics.gauge("x", "X.", merge="min")


def test_exemplars_are_the_first_of_their_series() -> None:
    metrics = Metrics()
    histogram = metrics.histogram("x_seconds", "X.", (10, 20), ("tenant",))
    histogram.exemplify(("a",), 5, "early", 1.0)
    histogram.observe(("a",), 5)
    histogram.exemplify(("a",), 5, "t1", 1.0)
    assert histogram.shows(("a",))
    histogram.exemplify(("a",), 6, "t2", 2.0)
    ((part,),) = [[one.exemplars for one in part.series] for part in told(metrics)]
    assert [(labels, one.trace, one.value) for labels, one in part] == [(("a",), "t1", 5)]
    assert not histogram.shows(("a",))
    histogram.observe(("a",), 5)
    assert [one.exemplars for part in told(metrics) for one in part.series] == [[]]


def test_what_goes_back_or_has_other_labels_is_a_mistake() -> None:
    counter = Metrics().counter("x_total", "X.", ("tenant",))
    with pytest.raises(ValueError, match="does not go back"):
        counter.add(("a",), -1)
    for labels in ((), ("a", "b")):
        with pytest.raises(ValueError, match="has the labels"):
            counter.add(labels)


def test_who_asks_twice_gets_the_same_and_who_asks_for_another_is_told() -> None:
    metrics = Metrics()
    first = metrics.counter("x_total", "X.", ("tenant",))
    assert metrics.counter("x_total", "X.", ("tenant",)) is first
    with pytest.raises(ValueError, match="there is another"):
        metrics.counter("x_total", "X.", ("model",))
    metrics.top("tenant", 3)
    with pytest.raises(ValueError, match="ranked already"):
        metrics.top("tenant", 4)
    assert "x_total" in metrics
    assert "y_total" not in metrics


@pytest.mark.parametrize(
    ("name", "labels", "per", "why"),
    [
        ("x", (), 1, "ends in _total"),
        ("X_total", (), 1, "lower-case"),
        ("1_total", (), 1, "lower-case"),
        ("x y_total", (), 1, "lower-case"),
        ("x" * 100 + "_total", (), 1, "lower-case"),
        ("x_total", ("le",), 1, "expected labels"),
        ("x_total", ("__name__",), 1, "expected labels"),
        ("x_total", ("a", "a"), 1, "all of them different"),
        ("x_total", tuple("abcdefghi"), 1, "at most 8"),
        ("x_total", (), 0, "at least 1"),
    ],
)
def test_names_and_labels_that_prometheus_could_not_read(name: str, labels: tuple[str, ...], per: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Metrics().counter(name, "X.", labels, per)


@pytest.mark.parametrize("buckets", [(), (0, 1), (2, 1), (1, 1), (-1, 1), tuple(range(1, 42)), (1, MOST)])
def test_buckets_grow(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="buckets"):
        Metrics().histogram("x_seconds", "X.", buckets)


def test_a_metric_that_is_ranked_by_a_label_has_it() -> None:
    metrics = Metrics()
    top = metrics.top("tenant", 3)
    with pytest.raises(ValueError, match="the label that is ranked"):
        metrics.counter("x_total", "X.", ("model",), top=top)


@pytest.mark.parametrize("value", ["x" * (LONGEST + 1), "\ud800", "é\udfff"])
def test_a_value_that_cannot_stand_in_a_label_is_other(value: str) -> None:
    metrics = Metrics()
    counter, top = metrics.counter("x_total", "X.", ("tenant",)), metrics.top("tenant", 3)
    counter.add((value,), 2)
    counter.add((value,), 3)
    top.weigh(value, 1)
    top.pin(value)
    assert series(metrics) == {("x_total", (OTHER,)): 5}


def test_what_is_told_at_once_is_bounded_and_nothing_is_lost() -> None:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", ("user",))
    for index in range(30_000):
        counter.add((f"u{index}",))
    found = series(metrics)
    assert len(found) == 20_001
    assert sum(value for value in found.values() if isinstance(value, int)) == 30_000


def test_pieces_fit_a_line_however_long_labels_are() -> None:
    metrics = Metrics()
    labels = tuple("abcdefgh")
    counter = metrics.counter("x_total", "X." * 250, labels, room=5_000)
    histogram = metrics.histogram("x_seconds", "X.", tuple(range(1, 41)), labels)
    top = metrics.top("a", 100, [f"{index}{'p' * 100}" for index in range(1_000)])
    long = "\U0001f600" * 120
    for index in range(1_500):
        values = (*(f"{index:05d}{long}" for _ in labels),)
        counter.add(values, MOST)
        histogram.observe(values, MOST)
        histogram.exemplify(values, 1, "0" * 64, 1.0)
        top.weigh(f"{index}{long}", MOST)
    pieces = metrics.take()
    assert max(map(len, pieces)) <= 45_000
    parts = [one for piece in pieces if (one := read(piece)) is not None]
    assert len(parts) == len(pieces)
    assert sum(len(one.values) for part in parts for one in part.series) == 3_000
    assert sum(len(one.exemplars) for part in parts for one in part.series) == 1_500
    assert sum(len(one.weights) for part in parts for one in part.ranked) == 1_500
    assert len({value for part in parts for one in part.ranked for value in one.pinned}) == 1_000


def test_weights_come_before_what_they_weigh() -> None:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", ("tenant",), top=(top := metrics.top("tenant", 3, ["p"])))
    assert metrics.take() == []
    counter.add(("a",))
    top.weigh("a", 7)
    kinds = [[*map(type, part.ranked), *map(type, part.series)] for part in told(metrics)]
    assert kinds[-1] == [Series]
    assert len(kinds) == 3


def test_numbers_beyond_what_travels_stay_the_largest_that_does() -> None:
    metrics = Metrics()
    counter, histogram = metrics.counter("x_total", "X."), metrics.histogram("x_seconds", "X.", (1,))
    for _ in range(3):
        counter.add((), MOST)
        histogram.observe((), MOST)
    assert series(metrics) == {("x_total", ()): MOST, ("x_seconds", ()): [0, 3, MOST]}


@given(st.binary(max_size=300))
def test_no_bytes_are_a_crash(data: bytes) -> None:
    found = read(data)
    assert found is None or isinstance(found, Snapshot)


@given(st.lists(st.tuples(TENANTS, st.integers(0, 10**6), st.booleans())))
def test_what_is_told_in_parts_is_what_was_counted(events: list[tuple[str, int, bool]]) -> None:
    metrics, whole = Metrics(), {"a": 0, "b": 0, "c": 0}
    counter = metrics.counter("x_total", "X.", ("tenant",))
    found = dict(whole)
    for tenant, amount, now in [*events, ("a", 0, True)]:
        counter.add((tenant,), amount)
        whole[tenant] += amount
        if now:
            for (_, labels), value in series(metrics).items():
                assert isinstance(value, int)
                found[labels[0]] += value
    assert found == whole


def test_every_fault_is_one_of_a_definition_that_is_told() -> None:
    metrics = Metrics()
    metrics.histogram("x_seconds", "X.", (1, 2)).observe((), 1)
    (part,) = told(metrics)
    assert [fault(one.definition) for one in part.series] == [None]
