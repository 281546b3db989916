"""Nothing that is printed steers a terminal."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.printing import complain, fault, harmless, harmless_cell, is_terminal, say, show_json, show_table, show_text

HOSTILE = "a\x1b[2J\x9b31m\u202ereversed\u2066\x7f\r\n\u2028b"


@given(st.text(st.characters(codec=None)))
def test_what_is_printed_is_printable(text: str) -> None:
    assert harmless(text).isprintable()
    assert (harmless(text) == text) is text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grün 水", "grün 水"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0041\ud800", "\\U000e0041\\ud800"),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J")
    complain("b\u202e\ud800")
    complain("c", prefix="warning: ")
    written = capsys.readouterr()
    assert written.out == "a\\x1b[2J\n"
    assert written.err == "sluicegate: b\\u202e\\ud800\nwarning: c\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "file"), "file: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_is_wrong_with_a_file(error: OSError, line: str) -> None:
    assert fault(error) == line


def test_columns_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("a", "long"), [("12345", "1"), ("1", "\x1b"), ("2", "")], styles=[None, "red", None])
    assert capsys.readouterr().out.splitlines() == ["a      long", "12345  1", "1      \\x1b", "2"]


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_json_is_ascii_and_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"zoë\x1b": [1, None, 0.5]})
    written = capsys.readouterr().out
    assert written.isascii()
    assert "\x1b" not in written
    assert json.loads(written) == {"zoë\x1b": [1, None, 0.5]}


def test_a_document_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a,b\r\n{HOSTILE}\r\n"
    show_text(text)
    assert capsys.readouterr().out == text


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[], None]) -> str:
    """What comes out of a terminal that is stdout while it is shown."""
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with os.fdopen(follower, "w") as opened:
        monkeypatch.setattr(sys, "stdout", opened)
        assert is_terminal()
        show()
    written = b""
    # Nobody has the other end any more: behind the last of it is an error.
    with contextlib.suppress(OSError):
        while True:
            written += os.read(leader, 65_536)
    os.close(leader)
    return written.decode()


def test_on_a_terminal_rows_are_coloured_and_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("plain", "x"), ("full", "\x1b[2J")]
    written = on_a_terminal(monkeypatch, lambda: show_table(("a", "b"), rows, styles=[None, "red"]))
    assert "\x1b[31mfull" in written
    assert "\x1b[31mplain" not in written
    assert "\x1b[2J" not in written


def test_on_a_terminal_a_document_is_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *lines = on_a_terminal(monkeypatch, lambda: show_text(f"a,b\r\n{HOSTILE}\r\n")).splitlines()
    assert first == "a,b"
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


BEFORE = (
    "",
    " ",
    "  ",
    "\u200b",
    "\ufeff",
    "\xa0",
    "\u2060",
    "\u3000",
    "\x0b",
    "\x00",
    " \u200b \ufeff\xa0",
    "\t",
    "\r\n",
)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_is_a_formula(before: str, sign: str) -> None:
    assert harmless_cell(f"{before}{sign}1+1") == f"'{before}{sign}1+1"


@pytest.mark.parametrize("text", ["", " ", "\u200b", "contoso", " a=b", "\u200ba-b", "gr\xfcn", "4-5", "'=1"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert harmless_cell(text) == text


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx", "  \tx"])
def test_no_cell_begins_with_a_break(text: str) -> None:
    assert harmless_cell(text) == f"'{text}"
