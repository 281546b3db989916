"""The traps are told in full, and the page has every one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extproc.doctor import traps
from extproc.doctor.findings import Trap

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "doctor.md"
ROW = re.compile(r"^\| `(\w+)` \| (error|warning) \| [^|]+\. \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("trap", traps.ALL.values(), ids=list(traps.ALL))
def test_a_trap_says_why_and_how_it_is_mended(trap: Trap) -> None:
    assert re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", trap.code)
    for text in (trap.why, trap.mend):
        assert text.endswith(".")
        assert "  " not in text


def test_no_two_traps_have_one_code() -> None:
    named = [value for value in vars(traps).values() if isinstance(value, Trap)]
    assert len(named) == len(traps.ALL)


def test_the_page_has_every_trap_as_the_command_tells_it() -> None:
    rows = {code: (severity, why, mend) for code, severity, why, mend in ROW.findall(PAGE.read_text("utf-8"))}
    assert rows == {trap.code: (trap.severity.value, trap.why, trap.mend) for trap in traps.ALL.values()}
