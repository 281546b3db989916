from __future__ import annotations

import pytest

from extproc.cli.console import complain, harmless, show_table
from extproc.cli.progress import Progress


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grün 水", "grün 水"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\t", "two\\x0alines\\x09"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert harmless(text).isprintable()


def test_a_table_that_nobody_looks_at_is_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "why"), [("a", "because of \x1b[1m this"), ("longer", "")], styles=[None, "red"])
    assert capsys.readouterr().out.splitlines() == ["name    why", "a       because of \\x1b[1m this", "longer"]


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "why"), [])
    assert capsys.readouterr().out == "name  why\n"


def test_complaints_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    complain("no")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "sluicegate: no\n")


def test_progress_is_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        for what in ("starting", "ready", "stopping", "stopped"):
            progress.report("policy", what)
        progress.report("something else", "starting")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "starting policy server"
    assert lines[1].startswith("policy server is ready (0.")
    assert lines[2:] == ["stopping policy server", "starting something else"]
