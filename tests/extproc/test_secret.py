"""Secrets are read where the configuration says they are, and are not repeated when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from extproc.secret import Secret, SecretError, read_secret


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", " s3cret\n")
    assert read_secret(Secret(env="PROVIDER_KEY")) == "s3cret"


def test_from_a_file_that_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for value in ("first", "second"):
        file.write_text(value + "\n")
        assert read_secret(Secret(file=str(file))) == value


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVIDER_KEY", raising=False)
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfes3cret")
    for secret, place in (
        (Secret(env="PROVIDER_KEY"), "PROVIDER_KEY"),
        (Secret(file=str(tmp_path / "missing")), "missing"),
        (Secret(file=str(empty)), "empty"),
        (Secret(file=str(binary)), "binary"),
    ):
        with pytest.raises(SecretError, match=place) as caught:
            read_secret(secret)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("fields", [{}, {"env": "A", "file": "b"}, {"env": "not a name"}, {"file": ""}, {"value": "x"}])
def test_one_place_and_no_value(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Secret(**fields)
