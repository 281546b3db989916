from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extproc.secret import Secret
from policies.audit.ledger.settings import LedgerSettings, LedgerUrlError


def made(url: Any, **more: Any) -> LedgerSettings:
    return LedgerSettings.model_validate({"kind": "ledger", "url": url, **more})


@pytest.mark.parametrize(
    "url",
    ["sqlite:///ledger.db", "sqlite:////var/lib/l.db", "postgresql://me@db:5432/l", "postgresql://me@/l?host=/run/pg"],
)
def test_urls_of_databases(url: str) -> None:
    settings = made(url)
    assert settings.read_url() == url
    assert (settings.name, settings.batch.records) == ("ledger", 1_000)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:hunter2@db/l", "a URL with a password is a secret"),
        ("postgresql://me@db/l?password=hunter2", "a URL with a password is a secret"),
        ("mysql://me@db/hunter2", "expected sqlite:///PATH, or postgresql://"),
        ("postgresql://me@db", "expected sqlite:///PATH, or postgresql://"),
        ("postgresql://me@db:port/hunter2", "expected sqlite:///PATH, or postgresql://"),
        ("sqlite://host/hunter2", "a file, and nothing else"),
        ("sqlite:///:memory:", "a file, and nothing else"),
        ("sqlite:///x?mode=hunter2", "a file, and nothing else"),
        ("hunter2", "expected sqlite:///PATH, or postgresql://"),
    ],
)
def test_what_is_no_url(url: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        made(url)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_url_with_a_password_is_read_from_its_place(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://me:hunter2@db/l\n")
    settings = made({"file": str(tmp_path / "url")})
    assert settings.url == Secret(file=str(tmp_path / "url"))
    assert settings.read_url() == "postgresql://me:hunter2@db/l"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("content", ["", "mysql://me:hunter2@db/l"])
def test_a_secret_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "url").write_text(content)
    with pytest.raises(LedgerUrlError) as refused:
        made({"file": str(tmp_path / "url")}).read_url()
    assert "hunter2" not in str(refused.value)


def test_it_says_which_kind_it_is() -> None:
    with pytest.raises(ValidationError):
        LedgerSettings.model_validate({"url": "sqlite:///l.db"})
