"""`follow`, `status` and `replay` as they are typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from policies.audit.following.dead_letters import DeadLetters, Letter
from policies.audit.following.status import SinkStatus, Status, write_status
from tests.policies.audit.showing.journaled import closed, decision
from tests.policies.audit.showing.test_browsing import ROOT, SCRIPT
from tests.policies.audit.showing.typed import Typed, configuration


def with_file(folder: Path) -> Path:
    return configuration(folder, sinks=[{"kind": "file", "name": "copy", "path": str(folder / "copy.jsonl")}])


def test_follow_until_it_is_told_to_end(journals: Path, typed: Typed) -> None:
    config = with_file(journals.parent)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, "follow", str(config)], stderr=subprocess.PIPE, cwd=ROOT)
    copy = journals.parent / "copy.jsonl"
    try:
        deadline = time.monotonic() + 60
        # The companion has a journal of its own, which is followed as well.
        while not (copy.exists() and copy.read_bytes().count(b'"journal":"gw.') == 5):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # Decisions come first where they share cores.
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert b"following" in told
    status = typed.json("status", config)
    assert status["well"] is True
    assert status["status"]["sinks"]["copy"]["delivered"] >= 5


def test_status(journals: Path, typed: Typed) -> None:
    typed("status", "--folder", journals, status=1)
    assert "`sluicegate audit follow` writes it" in typed.complaints[0]
    write_status(journals, Status(pid=1, sinks={"copy": SinkStatus(delivered=5)}, time=time.time()))
    lines = typed("status", "--folder", journals)
    assert [line.split()[:2] for line in lines] == [["sink", "state"], ["copy", "starting"]]
    write_status(journals, Status(pid=1, sinks={"copy": SinkStatus(error="a\x1bb")}, time=0))
    lines = typed("status", "--folder", journals, status=1)
    assert lines[-1] == "copy: a\\x1bb"
    assert lines[-2].startswith("nobody follows the journals now")
    (journals / "status.json").write_text("{")
    typed("status", "--folder", journals, status=1)


def test_replay(journals: Path, typed: Typed) -> None:
    config = with_file(journals.parent)
    one = closed(decision(1))
    letter = Letter(journal="gw.0", line=one.line.decode(), reason="refused", sequence=1, time=0)
    spoilt = Letter(journal="gw.0", line="{}", reason="refused", sequence=2, time=0)
    DeadLetters(journals, "copy", 1 << 20).append([letter, spoilt])
    assert typed("replay", "copy", config, status=1) == ["copy: 1 dead letter delivered, 0 refused once more"]
    assert typed.complaints == ["warning: 1 dead letter cannot be read, and stay"]
    assert json.loads((journals.parent / "copy.jsonl").read_text())["request_id"] == "r-1"
    typed("replay", "other", config, status=2)
    assert typed.complaints == [f"sluicegate: {config}: policies[0].settings.sinks: no sink 'other': there are copy"]


def test_a_sink_that_is_wrong(journals: Path, typed: Typed) -> None:
    config = configuration(journals.parent, sinks=[{"kind": "pigeon"}])
    for words in (("follow", config), ("replay", "copy", config)):
        typed(*words, status=2)
        assert len(typed.complaints) == 1
        assert (
            "policies[0].settings.sinks[0].kind: expected one of"
            " file, langfuse, ledger, metrics, otlp, syslog, traces, webhook" in typed.complaints[0]
        )
