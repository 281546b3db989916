"""`show`, `explain` and `export` as they are typed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.policies.audit.showing.journaled import closing, decision, record, write
from tests.policies.audit.showing.typed import Typed, configuration

SCRIPT = (
    "import sys; from tests.policies.audit.showing.typed import PLUGIN, run;"
    " sys.exit(run(['audit', *sys.argv[1:]], plugins=[PLUGIN]))"
)
ROOT = Path(__file__).resolve().parents[4]


def events(lines: list[str]) -> list[str]:
    return [line.split()[4] for line in lines if line.startswith("2026-")]


def test_all_of_it_in_the_order_of_time(typed: Typed, journals: Path) -> None:
    lines = typed("show", "--folder", journals)
    assert lines[0].split()[:4] == ["time", "(UTC)", "tenant", "user"]
    assert events(lines) == [
        *("request.allowed", "request.closed", "limit.reached", "limit.changed", "request.allowed"),
    ]
    # Who sent this wanted to clear the screen.
    assert "eve\\x1b[2J" in lines[-1]
    assert typed.complaints == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--tenant", "contoso"), 3),
        (("--tenant", "t-2"), 1),
        (("--tenant", "t-2", "--tenant", "contoso"), 4),
        (("--user", "eve*"), 1),
        (("--request-id", "r-1"), 2),
        (("--exchange", "x-2"), 1),
        (("--event", "limit.*"), 2),
        (("--decision", "reject"), 1),
        (("--model", "gpt-?"), 4),
        (("--from", "2026-11-02T09:30:10"), 3),
        (("--to", "2026-11-02T09:30:10"), 2),
        (("--from", "2026-11-02", "--to", "2026-11-02"), 5),
        (("--limit", "2"), 2),
        (("--session", "none"), 0),
    ],
)
def test_filters(typed: Typed, journals: Path, options: tuple[str, ...], found: int) -> None:
    assert len(typed("show", "--folder", journals, *options, "--json")) == found
    assert len(events(typed("show", "--folder", journals, *options))) == found
    assert typed.complaints == ([] if found else ["nothing of that kind is on record"])


def test_what_was_changed_of_a_tenant_is_found_by_its_name_and_by_who_did_it(typed: Typed, tmp_path: Path) -> None:
    change = record(
        15, event="limit.changed", by="kim", action="set", after="5", tenant_id="t-1", subject="t-1 tokens_per_day"
    )
    write(tmp_path / "journal", "gw.0", [decision(1), change])
    # The record that tells name and id is older than what is asked for.
    later = ("show", "--folder", tmp_path / "journal", "--from", "2026-11-02T09:30:10")
    assert events(typed(*later, "--tenant", "contoso")) == ["limit.changed"]
    assert events(typed(*later, "--user", "kim")) == ["limit.changed"]
    assert events(typed(*later, "--tenant", "fabrikam")) == []
    out = tmp_path / "out.jsonl"
    typed("export", "--folder", tmp_path / "journal", "--format", "jsonl", "-o", out, "--tenant", "contoso")
    assert len(out.read_text().splitlines()) == 2


def test_the_last_so_many(typed: Typed, journals: Path) -> None:
    assert events(typed("show", "--folder", journals, "--limit", 2)) == ["limit.changed", "request.allowed"]


def test_raw_lines(typed: Typed, journals: Path) -> None:
    lines = typed("show", "--folder", journals / "gw.0", "--json")
    written = (journals / "gw.0" / f"{1:020d}.jsonl").read_text().splitlines()
    assert lines == written


def test_the_folder_of_the_configuration(typed: Typed, journals: Path) -> None:
    config = configuration(journals.parent)
    assert len(events(typed("show", config))) == len(events(typed("show", "--config", config))) == 5
    assert typed("explain", "r-1", config) == typed("explain", "r-1", "--config", config)
    typed("show", config, "--config", config, status=2)
    assert "expected CONFIG or --config" in "".join(typed.complaints)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--decision", "deny"), "sluicegate: --decision deny: expected one of allow, reject, respond, none"),
        (("--from", "soon"), "sluicegate: --from soon: expected a time such as 30m"),
        (("--from", "1d", "--to", "2d"), "sluicegate: --to is not after --from"),
        (("--follow", "--to", "now"), "sluicegate: --follow goes on from now"),
        (("gateway.yaml",), "sluicegate: expected a configuration or --folder, not both"),
    ],
)
def test_what_cannot_be_meant(typed: Typed, journals: Path, options: tuple[str, ...], complaint: str) -> None:
    typed("show", "--folder", journals, *options, status=2)
    assert len(typed.complaints) == 1
    assert typed.complaints[0].startswith(complaint)


def test_a_journal_that_is_broken_is_told(typed: Typed, journals: Path) -> None:
    segment = journals / "gw.1" / f"{1:020d}.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"alice", b"bob"))
    assert len(events(typed("show", "--folder", journals, status=1))) == 3
    assert typed.complaints == [
        "sluicegate: gw.1 cannot be read further: record 1: its hash is not that of its content;"
        " `sluicegate audit verify` says more"
    ]


def test_explain(typed: Typed, journals: Path) -> None:
    lines = typed("explain", "r-1", "--folder", journals)
    assert lines[0] == "Exchange x-1, request r-1"
    assert "  It cost $0.00123." in lines
    assert lines == typed("explain", "v-1", "--folder", journals) == typed("explain", "x-1", "--folder", journals)
    assert len(typed("explain", "r-1", "--folder", journals, "--json")) == 2
    assert "eve\\x1b[2J" in typed("explain", "r-3", "--folder", journals)[2]
    typed("explain", "r-9", "--folder", journals, status=1)
    assert typed.complaints == ["nothing is on record of r-9"]
    typed("explain", "", "--folder", journals, status=2)


def test_export(typed: Typed, journals: Path, tmp_path: Path) -> None:
    pytest.importorskip("policies.audit.export.jsonl")
    raw = typed("show", "--folder", journals, "--tenant", "contoso", "--json")
    out = tmp_path / "out.jsonl"
    typed("export", "--folder", journals, "--tenant", "contoso", "--format", "jsonl", "-o", out)
    assert typed.complaints == ["3 records exported"]
    assert len(out.read_text().splitlines()) == len(raw) == 3
    assert (
        typed("export", "--folder", journals, "--tenant", "contoso", "--format", "jsonl") == out.read_text().splitlines()
    )


def test_an_unknown_format(typed: Typed, journals: Path) -> None:
    typed("export", "--folder", journals, "--format", "xml", status=2)
    assert typed.complaints == ["sluicegate: --format xml: expected one of ecs, cef, jsonl, parquet"]


def started(*words: object, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, words)], stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT
    )


def test_on_a_terminal_nothing_steers_it(journals: Path) -> None:
    for words in (("show",), ("show", "--json"), ("explain", "r-3")):
        main, side = pty.openpty()
        process = started(*words, "--folder", journals, stdout=side)
        os.close(side)
        written = b""
        while True:
            try:
                written += os.read(main, 65_536)
            except OSError:
                break
        os.close(main)
        _, complaints = process.communicate()
        assert process.returncode == 0, complaints
        assert b"eve" in written
        assert b"\x1b[2J" not in written


def test_following_until_interrupted(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    write(folder, "gw.0", [decision(1)])
    process = started(
        "show", "--follow", "--json", "--event", "request.closed", "--folder", folder, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    write(folder, "gw.1", [decision(2), closing(2)])
    assert b'"exchange_id":"x-2"' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, complaints = process.communicate(timeout=60)
    assert (process.returncode, rest, complaints) == (0, b"", b"")


def test_whoever_reads_may_have_seen_enough(tmp_path: Path) -> None:
    write(tmp_path, "gw.0", [decision(number) for number in range(2_000)])
    process = started("show", "--folder", tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) in (0, 1)
