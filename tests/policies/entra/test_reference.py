"""The reference page names every setting, reason and code."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.entra.challenge import TELLINGS
from policies.entra.refusal import Reason
from policies.entra.settings import EntraSettings, Graph

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "entra.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*EntraSettings.model_fields, *Graph.model_fields])
def test_settings(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("reason", Reason)
def test_reasons_stand_beside_their_code(reason: Reason) -> None:
    assert f"`{reason}`" in PAGE
    telling = TELLINGS[reason]
    row = next(line for line in PAGE.splitlines() if f"`{telling.code}`" in line and line.startswith("|"))
    assert str(telling.status) in row
