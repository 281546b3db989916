"""The commands together."""

from __future__ import annotations

import pytest

from policies.audit.commands import COMMANDS
from tests.policies.audit.showing.typed import Typed


@pytest.mark.parametrize("name", [command.__name__ for command in COMMANDS])
def test_each_explains_itself(typed: Typed, name: str) -> None:
    lines = typed(name, "--help")
    assert lines[0].startswith(f"Usage: sluicegate audit {name}")
    assert typed.complaints == []


def test_there_is_an_overview(typed: Typed) -> None:
    listed = [line.split()[0] for line in typed("--help") if line.startswith("  ")]
    assert set(listed) >= {command.__name__ for command in COMMANDS}
