"""The key of the keyed hashes: one for a folder, whoever comes first; or the one that is configured."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from policies.audit.journal import JournalError
from policies.audit.keys import FILE, redaction_key
from policies.audit.redaction import RedactionSettings, Redactor

PLAIN: Final = RedactionSettings()
PROGRAM: Final = """
import sys
from pathlib import Path
from policies.audit.keys import redaction_key
from policies.audit.redaction import RedactionSettings
print("ready", flush=True)
sys.stdin.readline()
print(redaction_key(RedactionSettings(), Path(sys.argv[1])).hex())
"""


def test_it_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "journal"
    first = redaction_key(PLAIN, folder)
    assert len(first) == 32
    assert redaction_key(PLAIN, folder) == first
    assert redaction_key(PLAIN, tmp_path / "other") != first
    # Nothing of how it was made is left.
    assert os.listdir(folder) == [FILE]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        redaction_key(PLAIN, tmp_path / "journal")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "journal" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


def test_processes_that_start_at_once_have_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "journal")]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        found = set()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            found.add(process.communicate(timeout=30)[0].strip())
            assert process.returncode == 0
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert found == {redaction_key(PLAIN, tmp_path / "journal").hex()}
    assert os.listdir(tmp_path / "journal") == [FILE]


def test_whoever_comes_second_takes_the_first_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen that there is none."""
    theirs = "ab" * 32
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_text(f"{theirs}\n")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert redaction_key(PLAIN, tmp_path).hex() == theirs
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "expected 32 bytes as hexadecimal digits"),
        (b"ab" * 31, "expected 32 bytes as hexadecimal digits"),
        (b"riddle" * 20, "expected hexadecimal digits"),
        ("ä".encode() * 64, "expected hexadecimal digits"),
        (b"\xff\x00" * 64, "expected hexadecimal digits"),
    ],
)
def test_a_damaged_one_is_told_and_left(content: bytes, why: str, tmp_path: Path) -> None:
    """A new one in its place would make equal values unequal, and nobody would know why."""
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        redaction_key(PLAIN, tmp_path)
    assert str(caught.value) == f"{path}: {why}"
    assert path.read_bytes() == content


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    with pytest.raises(JournalError, match=r"journal/redaction\.key: (File exists|Not a directory)"):
        redaction_key(PLAIN, tmp_path / "journal")


def test_one_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("what nobody knows, and is long enough\n")
    settings = RedactionSettings.model_validate({"key": {"file": str(secret)}})
    assert redaction_key(settings, tmp_path / "journal") == b"what nobody knows, and is long enough"
    assert not (tmp_path / "journal").exists()
    monkeypatch.setenv("REDACTION_KEY", "k" * 32)
    settings = RedactionSettings.model_validate({"key": {"env": "REDACTION_KEY"}})
    assert redaction_key(settings, tmp_path) == b"k" * 32


def test_one_that_is_configured_and_not_there(tmp_path: Path) -> None:
    settings = RedactionSettings.model_validate({"key": {"file": str(tmp_path / "no")}})
    with pytest.raises(JournalError, match=r"redaction\.key: file .*/no: FileNotFoundError"):
        redaction_key(settings, tmp_path)
    assert os.listdir(tmp_path) == []


def test_equal_values_have_equal_labels_in_all_processes_of_a_folder(tmp_path: Path) -> None:
    one, other = (Redactor(PLAIN, redaction_key(PLAIN, tmp_path)).text("jane.roe@example.com") for _ in range(2))
    assert one == other
    assert one.startswith("[email:")
    elsewhere = Redactor(PLAIN, redaction_key(PLAIN, tmp_path / "other")).text("jane.roe@example.com")
    assert elsewhere != one
