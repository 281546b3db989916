"""Lines between worker and supervisor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.workers.status import MAX_LINE, Dependency, Failure, Measured, Status, from_line, is_gauge, to_line


@given(st.lists(st.text()), st.dictionaries(st.text(), st.integers(0, 2**63 - 1)), st.integers(0, 2**63 - 1))
def test_what_was_said_is_what_is_heard(missing: list[str], counters: dict[str, int], memory: int) -> None:
    status = Status(not missing, tuple(missing), counters, memory)
    line = to_line(status)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line) == status


def test_a_failure_is_told_apart() -> None:
    assert from_line(to_line(Failure(("policy x failed",)))) == Failure(("policy x failed",))


@given(st.binary(max_size=200))
def test_a_snapshot_is_heard_as_it_was_taken(snapshot: bytes) -> None:
    line = to_line(Measured(snapshot))
    assert line.count(b"\n") == 1
    assert from_line(line) == Measured(snapshot)


def test_the_largest_snapshot_fits_a_line() -> None:
    assert len(to_line(Measured(b"\xff" * 45_000))) < MAX_LINE


def test_dependencies_are_told() -> None:
    status = Status(dependencies=(Dependency("entra", "closed", missing="keys"), Dependency("cost", "open", shadow=True)))
    assert from_line(to_line(status)) == status


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b"null",
        b'{"type":"status","counters":{"a":"b"}}',
        b'{"type":"status","counters":{"a":1.5}}',
        b'{"type":"status","missing":"keys"}',
        b'{"type":"other"}',
        b'{"missing":[]}',
        b'{"type":"failure"}',
        b'{"type":"measured"}',
        b'{"type":"measured","snapshot":"%%%"}',
        b'{"type":"measured","snapshot":[1]}',
        b'{"type":"status","dependencies":[{"policy":1}]}',
        b"\xff\xfe",
        b'{"type":"status","missing":["\xff"]}',
    ],
)
def test_anything_else_is_nothing(line: bytes) -> None:
    assert from_line(line) is None


@given(st.binary(max_size=200))
def test_no_bytes_are_a_crash(line: bytes) -> None:
    assert not isinstance(from_line(line), str)


@pytest.mark.parametrize(("name", "gauge"), [("streams_open", True), ("streams", False), ("opened", False)])
def test_gauges_by_their_name(name: str, gauge: bool) -> None:
    assert is_gauge(name) is gauge
