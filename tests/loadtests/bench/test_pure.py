"""What the benchmark computes, by tables."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.arrivals import Arrivals
from loadtests.bench.load import LINE, Load, Spread, Taken, parse, percentile, raw_request, spread, summary
from loadtests.bench.page import marks, replaced
from loadtests.bench.proc import cpu_model, family, field_bytes, parent

STAT = "4711 ({name}) S 17 4711 4711 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 5 0 100 200 300"


@pytest.mark.parametrize("name", ["envoy", "a b", "a) S 1 (b", ")"])
def test_a_parent_is_read_whatever_the_process_is_called(name: str) -> None:
    assert parent(STAT.format(name=name)) == 17


@pytest.mark.parametrize("text", ["", "4711", "4711 (envoy)", "4711 (envoy) S"])
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stat"):
        parent(text)


@pytest.mark.parametrize(
    ("root", "expected"),
    [(1, [1, 2, 5, 3, 4]), (2, [2, 3, 4]), (4, [4]), (9, [9])],
)
def test_a_family_is_all_below(root: int, expected: list[int]) -> None:
    assert family(root, {2: 1, 3: 2, 4: 3, 5: 1, 7: 6}) == expected


def test_sizes_and_model_are_found_among_other_lines() -> None:
    status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"
    assert field_bytes(status, "VmHWM") == 2048 * 1024
    assert field_bytes(status, "VmRSS") == 1024
    assert cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\n") == "Some CPU @ 2 GHz: fast"
    assert cpu_model("") == "unknown"
    with pytest.raises(ValueError, match="VmHWM"):
        field_bytes("VmRSS: 1 kB", "VmHWM")


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0),
        ([7], 1, 7),
        ([7], 99, 7),
        ([1, 2], 50, 1),
        ([1, 2], 51, 2),
        (range(1, 101), 50, 50),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
    ],
)
def test_percentiles_are_of_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(list(values), percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_a_value_with_enough_values_below(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-6


def test_latencies_need_not_be_in_order() -> None:
    assert summary(Taken([3, 1, 2]), 1, 2.0) == Load(3, 1, 2.0, 2, 3, 3)


def test_streams_and_open_loops_tell_more() -> None:
    found = summary(Taken([3, 1, 2], first=[1, 1, 2], gaps=[0.1, 0.3, 0.2], lags=[0.01]), 0, 2.0)
    assert found.chunks == 6
    assert found.first == Spread(1, 2, 2)
    assert found.gap == spread([0.3, 0.2, 0.1]) == Spread(0.2, 0.3, 0.3)
    assert found.lag == Spread(0.01, 0.01, 0.01)
    assert parse(LINE + json.dumps(asdict(found))) == found


WRK_OUTPUT = """Running 3s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05ms  212.87us   6.07ms   88.23%
  91042 requests in 3.00s, 58.08MB read
Requests/sec:  30343.86
BENCH {"requests":91042,"errors":3,"seconds":3.000344,"p50":0.001020,"p95":0.001250,"p99":0.001580}
"""


def test_the_line_is_found_in_what_wrk_writes() -> None:
    assert parse(WRK_OUTPUT) == Load(91042, 3, 3.000344, 0.00102, 0.00125, 0.00158)
    assert parse(WRK_OUTPUT).rate == pytest.approx(30343.86, abs=0.1)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Requests/sec: 1",
        WRK_OUTPUT * 2,
        LINE,
        LINE + "{",
        LINE + '{"requests":1}',
        LINE + '{"requests":"x","errors":0}',
    ],
)
def test_an_output_without_one_whole_line_is_refused(output: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each names another thing)
        parse(output)


def test_the_request_is_whole() -> None:
    head, _, body = raw_request(b"{}", "t", [("x-more", "1")]).partition(b"\r\n\r\n")
    assert body == b"{}"
    lines = head.split(b"\r\n")
    assert b"content-length: 2" in lines
    assert b"authorization: Bearer t" in lines
    assert b"x-more: 1" in lines


@pytest.mark.parametrize(
    ("rate", "seconds", "total", "interval"),
    [(8, 4, 32, 0.125), (1, 0.1, 1, 1.0), (5000, 1, 5000, 0.0002), (15_000, 1, 15_000, 0.0002), (0.3, 10, 3, 1 / 0.3)],
)
def test_arrivals_are_as_many_as_they_should_be(rate: float, seconds: float, total: int, interval: float) -> None:
    arrivals = Arrivals(rate, seconds)
    assert arrivals.total == total
    assert arrivals.interval == pytest.approx(interval)


@given(st.floats(0.5, 50_000), st.floats(0.1, 5))
def test_arrivals_keep_their_rate_and_are_all_due_in_time(rate: float, seconds: float) -> None:
    arrivals = Arrivals(rate, seconds)
    steps = int(arrivals.total / (rate * arrivals.interval)) + 1
    found = [arrivals.due(step) for step in range(min(steps, 2000))]
    assert found[0] == 0
    assert all(abs(due - min(arrivals.total, step * arrivals.interval * rate)) < 1.001 for step, due in enumerate(found))
    assert found == sorted(found)
    assert arrivals.due(steps) == arrivals.total


def page(*lines: str) -> str:
    begin, end = marks("x")
    return "\n".join(begin if line == "BEGIN" else end if line == "END" else line for line in lines)


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    assert replaced(page("a", "BEGIN", "old", "END", "b"), "x", "new\n") == page("a", "BEGIN", "", "new", "", "END", "b")
    once = replaced(page("BEGIN", "END"), "x", "new")
    assert replaced(once, "x", "new") == once


@pytest.mark.parametrize(
    "lines", [("a",), ("BEGIN",), ("END", "BEGIN"), ("BEGIN", "BEGIN", "END"), ("BEGIN", "END", "END")]
)
def test_a_page_without_marks_is_left_alone(lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="once each"):
        replaced(page(*lines), "x", "new")
