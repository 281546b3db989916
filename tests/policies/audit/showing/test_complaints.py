"""Expected faults: a line each, and the exit status."""

from __future__ import annotations

import errno

import pytest
import typer

from policies.audit.following.replaying import ReplayError
from policies.audit.following.sink import SinkError
from policies.audit.journal.settings import JournalError
from policies.audit.showing.complaints import told
from policies.audit.showing.configured import ConfiguredError
from policies.audit.showing.filters import FilterError
from policies.audit.showing.holds import HoldsError
from policies.audit.showing.times import TimeError


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (ConfiguredError(["one\x1b", "two"]), 2, ["sluicegate: one\\x1b", "sluicegate: two"]),
        (FilterError("wrong"), 2, ["sluicegate: wrong"]),
        (TimeError("wrong"), 2, ["sluicegate: wrong"]),
        (HoldsError("no"), 1, ["sluicegate: no"]),
        (JournalError("no"), 1, ["sluicegate: no"]),
        (ReplayError("no"), 1, ["sluicegate: no"]),
        (SinkError("no"), 1, ["sluicegate: no"]),
        (PermissionError(errno.EACCES, "Permission denied", "file"), 1, ["sluicegate: file: Permission denied"]),
        (OSError("odd"), 1, ["sluicegate: odd"]),
    ],
)
def test_faults(error: Exception, status: int, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, told():
        raise error
    assert caught.value.exit_code == status
    assert capsys.readouterr().err.splitlines() == lines


def test_what_verify_cannot_read() -> None:
    with pytest.raises(typer.Exit) as caught, told(unreadable=2):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "file")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), ZeroDivisionError(), KeyboardInterrupt()])
def test_what_is_left_to_others(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), told():
        raise error
    assert capsys.readouterr().err == ""
