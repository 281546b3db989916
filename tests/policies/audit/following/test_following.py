"""A sink and how it is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.following.following import Following, RedactionKeyError
from tests.policies.audit.following.rigs import FakeJournal, Recorder, settings


def test_its_name_is_that_of_its_settings() -> None:
    following = Following(settings(name="siem"), Recorder("other"))
    assert following.name == "siem"
    assert following.redact is None


def test_its_settings_say_what_it_must_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Following(settings(), Recorder()).redactor(tmp_path) is None
    monkeypatch.setenv("KEY", "0123456789abcdef0123456789abcdef")
    redactor = Following(settings(redact={"drop": ["user_id"], "key": {"env": "KEY"}}), Recorder()).redactor(tmp_path)
    assert redactor is not None
    assert redactor.record(FakeJournal(tmp_path).seal(user_id="u-17").record).user_id == ""


def test_a_key_that_is_too_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "short")
    with pytest.raises(RedactionKeyError, match="bytes or more"):
        Following(settings(redact={"key": {"env": "KEY"}}), Recorder()).redactor(tmp_path)
