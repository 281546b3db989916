"""`sluicegate demo` with everything real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from extproc.cli.demo import difference
from extproc.embedded.tour import STOPS, Seen


@pytest.mark.stack
def test_the_tour_comes_as_expected_and_leaves_nothing(tmp_path: Path) -> None:
    # Short: it holds unix sockets.
    temporary = Path("/tmp") / f"sg-demo-{os.getpid()}"
    temporary.mkdir()
    try:
        ended = subprocess.run(
            (sys.executable, "-m", "extproc.cli", "demo"),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        rows = [line for line in ended.stdout.splitlines() if line.endswith("  ok")]
        assert len(rows) == len(STOPS)
        bill = ended.stdout.partition("The bill, from the ledger:")[2].splitlines()
        total = next(line.split() for line in bill if line.startswith("total"))
        assert int(total[1]) == sum(stop.times for stop in STOPS)
        # Two answers of gpt-4o, 5 tokens at 2.5 and 16 at 10 micro-dollars each: 173, half up.
        assert any(line.split()[:3] + line.split()[-1:] == ["contoso", "alice", "gpt-4o", "$0.000346"] for line in bill)
        assert ended.stderr == ""
        assert list(temporary.iterdir()) == []
        assert list(tmp_path.iterdir()) == []
    finally:
        if not list(temporary.iterdir()):
            temporary.rmdir()


def test_a_difference_names_both() -> None:
    assert difference(STOPS[0], Seen(500, "oops", "answered")) == (
        "a chat: expected 200 answered, metered; got 500 oops answered, not metered"
    )
