"""What all processes have counted, in sum, whoever they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.metrics import MOST, OTHER, Counter, Histogram, Metrics
from extproc.snapshots import Definition, Exemplar, Merge, Ranked, Series, Snapshot
from extproc.workers.merged import Merged

LABELS = st.tuples(st.sampled_from(["t1", "t2", "t3", "t4"]), st.sampled_from(["m1", "m2"]))
EVENT = st.tuples(st.integers(0, 2), LABELS, st.integers(0, 10**9), st.booleans())


def rows(merged: Merged, name: str) -> dict[tuple[str, ...], tuple[int, ...]]:
    return next((one.rows for one in merged.read() if one.definition.name == name), {})


def total(merged: Merged, name: str = "x_total") -> int:
    return sum(row[0] for row in rows(merged, name).values())


def given_to(merged: Merged, process: int, metrics: Metrics) -> None:
    for piece in metrics.take():
        merged.add(process, piece)


def told(*parts: Series | Ranked) -> bytes:
    ranked = [one for one in parts if isinstance(one, Ranked)]
    return msgspec.msgpack.encode(Snapshot(ranked, [one for one in parts if isinstance(one, Series)]))


def both(metrics: Metrics) -> tuple[Counter, Histogram]:
    labels = ("tenant", "model")
    return metrics.counter("x_total", "X.", labels), metrics.histogram("x_seconds", "X.", (100, 10**6), labels)


@given(st.lists(EVENT, max_size=60))
def test_the_sum_of_snapshots_is_one_registry_that_saw_everything(events: list[Any]) -> None:
    """Three processes; each tells when it likes, is replaced when it likes, and tells the last of it then."""
    merged, single = Merged(), Merged()
    seeing = Metrics()
    workers = [Metrics() for _ in range(3)]
    last: dict[Any, int] = {}
    counter, histogram = both(seeing)
    for worker, labels, amount, leaves in events:
        one, other = both(workers[worker])
        one.add(labels, amount)
        other.observe(labels, amount)
        counter.add(labels, amount)
        histogram.observe(labels, amount)
        given_to(merged, worker, workers[worker])
        if leaves:
            merged.gone(worker)
            workers[worker] = Metrics()
        now = {labels: row[0] for labels, row in rows(merged, "x_total").items()}
        assert all(now[labels] >= before for labels, before in last.items())
        last = now
    given_to(single, 0, seeing)
    assert {one.definition.name: one.rows for one in merged.read()} == {
        one.definition.name: one.rows for one in single.read()
    }


def test_what_a_killed_process_had_not_told_is_lost_and_nothing_else() -> None:
    merged, killed = Merged(), Metrics()
    counter = killed.counter("x_total", "X.")
    counter.add((), 5)
    given_to(merged, 1, killed)
    counter.add((), 7)
    merged.gone(1)
    after = Metrics()
    after.counter("x_total", "X.").add((), 1)
    given_to(merged, 2, after)
    assert total(merged) == 6


@pytest.mark.parametrize(("merge", "expected"), [("sum", 9), ("max", 4), ("min", 2)])
def test_gauges_are_merged_over_those_who_live(merge: Merge, expected: int) -> None:
    merged = Merged()
    for process, value in ((1, 3), (2, 4), (3, 2)):
        metrics = Metrics()
        metrics.gauge("x", "X.", ("kind",), merge=merge).set(value, ("a",))
        given_to(merged, process, metrics)
        given_to(merged, process, metrics)
    assert rows(merged, "x") == {("a",): (expected,)}
    # The largest and the smallest are gone: they count no more.
    merged.gone(2)
    merged.gone(3)
    assert rows(merged, "x") == {("a",): (3,)}
    merged.gone(1)
    assert rows(merged, "x") == {}


def test_a_series_that_a_process_has_no_more_is_gone_and_makes_room() -> None:
    merged, metrics = Merged(), Metrics()
    now: dict[tuple[str, ...], int] = {("a",): 1, ("b",): 2}
    metrics.gauge("x", "X.", ("kind",), room=2, merge="max", read=lambda: now)
    given_to(merged, 1, metrics)
    now = {("b",): 2, ("c",): 3}
    given_to(merged, 1, metrics)
    assert rows(merged, "x") == {("b",): (2,), ("c",): (3,)}
    assert merged.refused == 0


@pytest.mark.parametrize(("merge", "kept"), [("sum", {"c", "d"}), ("max", {"c", "d"}), ("min", {"a", "b"})])
def test_of_more_series_than_there_is_room_for_those_stay_that_matter(merge: Merge, kept: set[str]) -> None:
    merged = Merged()
    for process, values in enumerate(({"a": 1, "d": 4}, {"b": 2, "c": 3})):
        metrics = Metrics()
        gauge = metrics.gauge("x", "X.", ("kind",), room=2, merge=merge)
        for label, value in values.items():
            gauge.set(value, (label,))
        given_to(merged, process, metrics)
    assert {label for (label,) in rows(merged, "x")} == kept


def ranked(merged: Merged, process: int, amounts: dict[str, int], *, most: int = 2, pinned: tuple[str, ...] = ()) -> None:
    """A process counts these amounts, and weighs as it counts."""
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", ("tenant", "model"), top=(top := metrics.top("tenant", most, pinned)))
    for tenant, amount in amounts.items():
        counter.add((tenant, "m"), amount)
        top.weigh(tenant, amount)
    given_to(merged, process, metrics)


def test_the_rest_is_other_and_who_gives_way_goes_there() -> None:
    merged = Merged()
    ranked(merged, 1, {"a": 10, "b": 5, "c": 4, "p": 1}, pinned=("p",))
    assert rows(merged, "x_total") == {("a", "m"): (10,), ("b", "m"): (5,), (OTHER, "m"): (4,), ("p", "m"): (1,)}
    # From 4 to 14 is more than twice the 5 of the lightest: what comes now is its own already.
    ranked(merged, 2, {"c": 10}, pinned=("p",))
    assert rows(merged, "x_total") == {("a", "m"): (10,), (OTHER, "m"): (9,), ("p", "m"): (1,), ("c", "m"): (10,)}
    assert merged.moved == 1


@settings(max_examples=150)
@given(st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 1_000), max_size=6), max_size=25))
def test_the_sum_is_exact_at_any_moment_and_never_goes_back(told: list[dict[str, int]]) -> None:
    merged, exact = Merged(), 0
    for process, amounts in enumerate(told):
        ranked(merged, process, amounts, most=3)
        exact += sum(amounts.values())
        assert total(merged) == exact
        assert len(rows(merged, "x_total")) <= 4


def test_beyond_its_room_all_labels_are_other() -> None:
    merged, metrics = Merged(), Metrics()
    counter = metrics.counter("x_total", "X.", ("a", "b"), room=3)
    for index in range(10):
        counter.add((str(index), "x"))
    given_to(merged, 1, metrics)
    assert rows(merged, "x_total") == {("0", "x"): (1,), ("1", "x"): (1,), (OTHER, OTHER): (8,)}


def test_more_room_after_a_reload_and_no_other_shape() -> None:
    merged = Merged()
    for room, labels in ((2, ("a",)), (3, ("a",)), (3, ("b",))):
        metrics = Metrics()
        counter = metrics.counter("x_total", "X.", labels, room=room)
        counter.add(("1",))
        counter.add(("2",))
        given_to(merged, 1, metrics)
    assert rows(merged, "x_total") == {("1",): (2,), (OTHER,): (1,), ("2",): (1,)}
    assert merged.refused == 1


X = Definition("x_total", "counter", "X.", ("a",))
H = Definition("x_seconds", "histogram", "X.", ("a",), 1, (1, 2))
HOSTILE = [
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    b"\x92\x90\xdd\xff\xff\xff\xff",
    msgspec.msgpack.encode([[], [[["x_total", "counter", "X."], [[["a"], 1.5]]]]]),
    msgspec.msgpack.encode([[], [[["x_total", "counter", "X.", ["a"]], [[["a"], 2**64 - 1]]]]]),
    told(Series(X, [(("a",), -1)])),
    told(Series(X, [(("a", "b"), 1)])),
    told(Series(X, [(("a" * 129,), 1)])),
    told(Series(X, [(("a",), [1, 2])])),
    told(Series(H, [(("a",), 1)])),
    told(Series(H, [(("a",), [1, 2, 3, 4, 5])])),
    told(Series(H, [(("a",), [1, -2, 3, 4])])),
    told(Series(Definition("x\n_total", "counter", "X."), [((), 1)])),
    told(Series(Definition("x_total", "counter", "X.", ("le",)), [(("a",), 1)])),
    told(Series(Definition("x_total", "counter", "X.", ("a",), 0), [(("a",), 1)])),
    told(Series(Definition("x_total", "counter", "X.", ("a",), 1, (), 5, "b"), [(("a",), 1)])),
    told(Series(Definition("x_total", "gauge", "X" * 501, ("a",)), [(("a",), 1)])),
    told(Series(Definition("x_now", "gauge", "X.", ("a",)), [(("a",), [1])])),
    told(Series(Definition("x_total", "counter", "X.", ("a",), merge="max"), [(("a",), 1)])),
    told(Series(X, [(("a",), [])])),
    told(Series(Definition("x_total", "counter", "X.", ("a",), 1, (1,)), [(("a",), 1)])),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_metric_is_left_out_and_counted(data: bytes) -> None:
    merged = Merged()
    merged.add(1, data)
    assert merged.refused > 0
    assert all(one.rows == {} for one in merged.read())
    merged.add(1, told(Series(X, [(("a",), 3)])))
    assert rows(merged, "x_total") == {("a",): (3,)}


def test_a_process_that_makes_things_up_is_bounded() -> None:
    merged = Merged()
    for index in range(400):
        wide = Definition(f"x{index}_total", "counter", "X.", ("a",), 1, (), MOST)
        merged.add(1, told(Series(wide, [((f"{index}-{row}",), 1) for row in range(2_000)])))
        merged.add(1, told(Ranked(f"l{index}", MOST, ("p",), [("a", MOST)])))
    found = merged.read()
    assert len(found) == 256
    assert sum(len(one.rows) for one in found) <= 4 * 50_000 + 256
    assert len(merged._rankings) == 8
    assert merged.refused == 400 - 256 + 400 - 8


def test_what_is_not_ranked_by_anybody_is_other() -> None:
    merged = Merged()
    definition = Definition("x_total", "counter", "X.", ("tenant",), 1, (), 5, "tenant")
    merged.add(1, told(Series(definition, [(("a",), 1), (("none",), 2)])))
    assert rows(merged, "x_total") == {(OTHER,): (1,), ("none",): (2,)}


def test_exemplars_of_series_that_are_there() -> None:
    merged = Merged()
    sound, loud = Exemplar(1, "ab12", 1.0), Exemplar(1, 'x"} 1\n', 1.0)
    never, huge = Exemplar(1, "ab12", float("nan")), Exemplar(-1, "ab12", 1.0)
    values: list[tuple[tuple[str, ...], int | list[int]]] = [((name,), [1, 0, 0, 1]) for name in "abcd"]
    pairs: list[tuple[tuple[str, ...], Exemplar]] = [
        (("a",), sound),
        (("b",), loud),
        (("c",), never),
        (("d",), huge),
        (("e",), sound),
    ]
    merged.add(1, told(Series(H, values, pairs)))
    (found,) = merged.read()
    assert found.exemplars == {("a",): sound}


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    merged = Merged()
    merged.add(1, data)
    assert merged.refused <= 1
