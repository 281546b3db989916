from __future__ import annotations

import pytest

from extproc.cli.progress import Progress


def test_progress_is_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        for what in ("starting", "ready", "stopping", "stopped"):
            progress.report("policy", what)
        progress.report("something else", "starting")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "starting policy server"
    assert lines[1].startswith("policy server is ready (0.")
    assert lines[2:] == ["stopping policy server", "starting something else"]
