"""The filter that was typed."""

from __future__ import annotations

import pytest

from policies.audit.showing.filters import Filter, FilterError
from policies.audit.showing.options import wanted
from policies.audit.showing.times import TimeError
from tests.policies.audit.showing.journaled import START


def typed(begin: str = "", end: str = "", decision: list[str] | None = None) -> Filter:
    return wanted(
        ["contoso"],
        None,
        [],
        ["limit.*", "access.*"],
        decision,
        request_id="r",
        exchange="x",
        session="s",
        begin=begin,
        end=end,
        now=START,
    )


def test_all_of_it() -> None:
    assert typed("1d", "now", ["reject"]) == Filter(
        tenant=("contoso",),
        event=("limit.*", "access.*"),
        decision=("reject",),
        request_id="r",
        exchange="x",
        session="s",
        earliest="2026-11-01T09:30:00.000000Z",
        before="2026-11-02T09:30:00.000000Z",
    )
    assert typed().earliest == typed().before == ""


def test_what_cannot_be_meant() -> None:
    with pytest.raises(TimeError, match="--to soon"):
        typed(end="soon")
    with pytest.raises(FilterError, match="--decision deny"):
        typed(decision=["deny"])
