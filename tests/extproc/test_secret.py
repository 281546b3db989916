"""Secrets are read where the configuration says they are, and are not repeated when they cannot be."""

from __future__ import annotations

import os
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


def test_a_secret_is_read_from_a_regular_file_of_a_sane_size(tmp_path: Path) -> None:
    """A pipe would stop the event loop that reads it, and a device would fill the memory."""
    pipe, large, link, fits = (tmp_path / name for name in ("pipe", "large", "link", "fits"))
    os.mkfifo(pipe)
    large.write_text("k" * 65_537)
    fits.write_text("k" * 65_536)
    link.symlink_to(fits)
    for place in (pipe, large, Path("/dev/zero"), tmp_path):
        with pytest.raises(SecretError, match=r"is not a regular file|is larger than"):
            read_secret(Secret(file=str(place)))
    assert read_secret(Secret(file=str(link))) == "k" * 65_536, "mounted secrets are links"
