"""Lines on standard output: written whole, and where they cannot be written, no reason to stop."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import cast

import pytest

from extproc.log import JsonFormatter, emit, lines_lost, log_to_stdout, tell


class Disk(io.RawIOBase):
    """Takes what is written, unless it is full."""

    def __init__(self) -> None:
        self.full = False
        self.held = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.full:
            raise OSError(28, "No space left on device")
        self.held += bytes(data)
        return len(data)


def write_to_a_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """For this test. (pytest sets standard output anew between a fixture and its test.)"""
    made = Disk()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(cast(io.FileIO, made)), write_through=True))
    return made


def test_a_full_disk_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = write_to_a_disk(monkeypatch)
    before = lines_lost()
    emit(b'"first"')
    disk.full = True
    for _ in range(100):
        emit(b'"%s"' % (b"x" * 998), b'"%s"' % (b"y" * 998))
    lost = lines_lost() - before
    # A few kilobytes are kept, and written as soon as there is room.
    assert 180 <= lost < 200
    disk.full = False
    emit(b'"last"')
    lines = disk.held.splitlines()
    assert (lines[0], lines[-1], len(lines)) == (b'"first"', b'"last"', 202 - lost)
    assert lines_lost() - before == lost


def test_lines_say_when_in_utc_as_completions_do(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now(UTC)
    tell("worker_started", pid=1, role="both")
    record = logging.makeLogRecord({"name": "test", "msg": "said", "created": before.timestamp()})
    lines = [capsys.readouterr().out.rstrip("\n"), JsonFormatter().format(record)]
    told, logged = map(json.loads, lines)
    assert list(told.items())[1:] == [("event", "worker_started"), ("pid", 1), ("role", "both")]
    assert before <= datetime.fromisoformat(told["timestamp"]) <= datetime.now(UTC)
    assert (logged["event"], logged["message"]) == ("log", "said")
    for one in (told, logged):
        assert next(iter(one)) == "timestamp"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", one["timestamp"])
    assert datetime.fromisoformat(logged["timestamp"]) == before


def test_the_log_of_modules_is_no_different(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    disk = write_to_a_disk(monkeypatch)
    before, handlers = lines_lost(), list(logging.root.handlers)
    try:
        log_to_stdout()
        disk.full = True
        for _ in range(20):
            logging.getLogger("test").warning("x" * 1_000)
        assert lines_lost() > before
    finally:
        disk.full = False
        logging.captureWarnings(False)
        logging.root.handlers[:] = handlers
    assert capfd.readouterr().err == ""
