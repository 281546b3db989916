"""What policies count: names and numbers of a third party's, which must break nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from extproc.admin.prometheus_text import metrics
from extproc.chain import Chain
from extproc.metrics import Metrics
from extproc.placement import Role, Seat
from extproc.policy import Policy
from extproc.policy_counters import PolicyCounters, is_own, usable
from extproc.workers.board import Board
from extproc.workers.status import MAX_LINE, Status, from_line, to_line
from tests.extproc.test_chain import COMPLETION

SEAT = Seat(1, Role.DECIDE, "unix:/x/1")


class Counts(Policy):
    """Says that it has counted this, or fails."""

    def __init__(self, counted: Any, name: str = "counts") -> None:
        self.name = name  # type: ignore[misc]
        self.counted = counted

    def counters(self) -> Mapping[str, int]:
        if isinstance(self.counted, BaseException):
            raise self.counted
        counted: Mapping[str, int] = self.counted
        return counted


def read(*policies: Policy) -> dict[str, int]:
    return PolicyCounters(policies).read()


def test_names_and_sums() -> None:
    assert read() == read(Policy()) == {}
    both = read(Counts({"b_c": 1, "d": 0}, "a"), Counts({"c": 4, "d": 2**53 - 1}, "a_b"))
    assert both == {"a_b_c": 5, "a_d": 0, "a_b_d": 2**53 - 1}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *(("counts", key) for key in ("", "A", "a-b", "a b", "a\n", "a__b", "_a", "a_", "ä", 'a"', "a{b}", "x" * 100)),
        *(("counts", key) for key in ("streams_open", "a_total")),
        *((name, "x") for name in ("", "Bad", "bad-name", "1bad", "a\nsluicegate_up 1\n#", "violation", "worker")),
        *(("access", "log_messages_dropped"), ("streams", "open"), ("tls", "handshakes"), ("worker", "starts")),
    ],
)
def test_a_name_that_would_not_do_is_left_out(name: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
    counters = PolicyCounters([Counts({key: 1}, name), Counts({"good": 1})])
    for _ in range(3):
        assert counters.read() == {"counts_good": 1}
    assert len(caplog.records) == 1
    assert "no name for a counter" in caplog.text
    assert "\n#" not in caplog.records[0].getMessage().partition(": ")[2]


@pytest.mark.parametrize("count", [-1, 2**53, 10**30, 1.5, True, None, "1", float("nan")])
def test_what_is_no_count_is_left_out(count: object, caplog: pytest.LogCaptureFixture) -> None:
    assert read(Counts({"bad": count, "good": 1})) == {"counts_good": 1}
    assert caplog.messages == ["counters of counts are left out: no count: counts_bad"]


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("s3cret"), SystemExit(3), asyncio.CancelledError(), None, 7, ["x"]],
    ids=lambda one: type(one).__name__,
)
def test_one_that_fails_keeps_no_other_back(fault: object, caplog: pytest.LogCaptureFixture) -> None:
    counters = PolicyCounters([Counts(fault), Counts({"good": 1}, "other")])
    assert counters.read() == counters.read() == {"other_good": 1}
    assert len(caplog.records) == 1
    assert "s3cret" not in caplog.text


def test_keys_that_are_no_text() -> None:
    assert read(Counts({1: 1, None: 2, ("a",): 3, "good": 1})) == {"counts_good": 1}


def test_there_is_room_for_so_many(caplog: pytest.LogCaptureFixture) -> None:
    many = {f"{'x' * 80}{number}": 2**53 - 1 for number in range(10_000)}
    found = read(Counts(many), Counts({"good": 1}))
    assert len(found) == 256
    assert set(caplog.messages) == {"counters of counts are left out: too many"}
    line = to_line(Status(counters=found))
    assert len(line) <= MAX_LINE
    assert from_line(line) == Status(counters=found)


names = st.text(max_size=12) | st.sampled_from(
    [
        *("worker", "violation", "streams", "open", "total", "starts", "up", "x_total", "x", "completions", "a_b", "b"),
        *("a", "metrics", "refused", "moved", "policy", "seconds", "settle_seconds", "decisions"),
    ]
)


@pytest.mark.parametrize("name", ["metrics_refused", "metrics_moved", "policy_seconds", "policy_settle_seconds"])
def test_names_of_the_hosts_metrics_are_taken(name: str) -> None:
    assert not usable(name)


@given(st.lists(st.tuples(names, st.dictionaries(names, st.integers(-1, 2**60), max_size=6)), max_size=4))
def test_metrics_can_be_read_whatever_policies_are_called(given: list[tuple[str, dict[str, int]]]) -> None:
    found = read(*(Counts(counted, name) for name, counted in given))
    assert all(usable(name) and not is_own(name) for name in found)
    board = Board((SEAT,))
    board.started(SEAT, 1)
    board.heard(SEAT, 1, Status(counters={**found, "streams": 1, "streams_open": 1, "violation_ping": 1}), 0.0)
    theirs = Metrics()
    Chain([], metrics=theirs).settle(COMPLETION)
    for piece in theirs.take():
        board.measured(SEAT, 1, piece)
    families = list(text_string_to_metric_families(metrics(board.read(0.0), board.metrics())[0].decode()))
    assert len({family.name for family in families}) == len(families)
    samples = [(one.name, tuple(one.labels.items())) for family in families for one in family.samples]
    assert len(set(samples)) == len(samples)
    values = {one.name: one.value for family in families for one in family.samples}
    assert values["sluicegate_decisions_total"] == 1
    assert {name: values[f"sluicegate_{name}_total"] for name in found} == found
