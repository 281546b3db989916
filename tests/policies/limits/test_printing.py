from __future__ import annotations

import json
import os
import pty
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits.printing import complain, harmless, say, show_json, show_table


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    assert harmless(text).isprintable()
    assert harmless(text) == text or not text.isprintable()


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J")
    complain("b\u202e\ud800")
    written = capsys.readouterr()
    assert written.out == "a\\x1b[2J\n"
    assert written.err == "sluicegate: b\\u202e\\ud800\n"


def test_columns_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("a", "long"), [("12345", "1"), ("1", "\x1b")])
    assert capsys.readouterr().out.splitlines() == ["a      long", "12345  1", "1      \\x1b"]


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_json_is_ascii_and_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"zoë\x1b": [1, None, 0.5]})
    written = capsys.readouterr().out
    assert written.isascii()
    assert "\x1b" not in written
    assert json.loads(written) == {"zoë\x1b": [1, None, 0.5]}


def test_rows_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    try:
        with os.fdopen(follower, "w") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            show_table(("a", "b"), [("plain", "x"), ("full", "\x1b[2J")], styles=[None, "red"])
            terminal.flush()
            written = os.read(leader, 65_536).decode()
    finally:
        os.close(leader)
    assert "\x1b[31mfull" in written
    assert "\x1b[31mplain" not in written
    assert "\x1b[2J" not in written
