"""What processes tell each other of their metrics: read as it was written, and what can be no metric is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.snapshots import MOST, Definition, Exemplar, Ranked, Series, Snapshot, fault, read, written

LABELS = st.tuples(st.text(max_size=5), st.text(max_size=5))
AMOUNT = st.integers(-MOST, MOST)
SERIES = st.builds(
    Series,
    st.sampled_from([Definition("x", "gauge", "X.", ("a", "b"), merge="min"), Definition("y_total", "counter", "Y.")]),
    st.lists(st.tuples(LABELS, AMOUNT | st.lists(AMOUNT, max_size=3)), max_size=3),
    st.lists(st.tuples(LABELS, st.builds(Exemplar, AMOUNT, st.text(max_size=5), st.floats(0, 1e9))), max_size=2),
)
RANKED = st.builds(Ranked, st.text(max_size=5), AMOUNT, st.just(()), st.lists(st.tuples(st.text(max_size=5), AMOUNT)))


@given(st.builds(Snapshot, st.lists(RANKED, max_size=2), st.lists(SERIES, max_size=2)))
def test_a_snapshot_is_read_as_it_was_written(snapshot: Snapshot) -> None:
    assert read(written(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (Definition("x", "gauge", "X.", ("a",), merge="max"), None),
        (Definition("x", "histogram", "X.", bounds=(1, 2)), None),
        (Definition("", "gauge", "X."), "a name of lower-case letters"),
        (Definition("x\n", "gauge", "X."), "a name of lower-case letters"),
        (Definition("x", "gauge", "X.", ("le",)), "labels of lower-case letters"),
        (Definition("x", "gauge", "X.", ("a", "a")), "all of them different"),
        (Definition("x", "gauge", "X" * 501), "a help of at most"),
        (Definition("x", "gauge", "X.", top="a"), "the label that is ranked"),
        (Definition("x", "counter", "X.", merge="sum", room=0), "room of at least 1"),
        (Definition("x", "counter", "X.", merge="min"), "all else is summed"),
        (Definition("x", "histogram", "X."), "from 1 to 40 buckets"),
        (Definition("x", "gauge", "X.", bounds=(1,)), "from 1 to 40 buckets"),
        (Definition("x", "histogram", "X.", bounds=(2, 1)), "buckets that grow"),
    ],
)
def test_why_there_can_be_no_such_metric(definition: Definition, why: str | None) -> None:
    found = fault(definition)
    assert found is why if why is None else found is not None and why in found
