"""Types commands of the audit, and reads what is answered."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extproc.cli.app import GROUP, run

PLUGIN: Final = EntryPoint("audit", "policies.audit.commands:app", GROUP)


class Typed:
    """`complaints`: what stood on stderr last."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.complaints: list[str] = []

    def __call__(self, *words: object, status: int = 0) -> list[str]:
        """The lines on stdout."""
        self._capsys.readouterr()
        found = run(["audit", *map(str, words)], plugins=[PLUGIN])
        written = self._capsys.readouterr()
        self.complaints = written.err.splitlines()
        assert found == status, written
        return written.out.splitlines()

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads("\n".join(self(*words, "--json", status=status)))


def configuration(folder: Path, **settings: Any) -> Path:
    """A configuration with its journals in `folder/journal`."""
    path = folder / "gateway.yaml"
    journal = {"folder": str(folder / "journal"), **settings.pop("journal", {})}
    policy = {"policy": "audit", "settings": {"journal": journal, **settings}}
    path.write_text(yaml.safe_dump({"policies": [policy]}))
    return path
