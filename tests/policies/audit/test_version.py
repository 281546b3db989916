"""Records state the version of the distribution that is installed."""

from __future__ import annotations

import importlib
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from policies.audit import version

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def test_the_version_is_that_of_the_distribution() -> None:
    assert tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"] == version.VERSION


def test_from_a_folder_without_a_distribution_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", missing)
        assert importlib.reload(version).VERSION == "unknown"
    importlib.reload(version)
