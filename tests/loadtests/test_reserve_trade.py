"""The trade between a rate that is used and one that is never overrun."""

from __future__ import annotations

import pytest

from loadtests.reserve_trade import play, table
from policies.limits.limit import KINDS, OutputReserve
from tests.servers import REPOSITORY


@pytest.mark.parametrize("kind", ["tokens_per_minute", "tokens_per_day"])
def test_a_ceiling_is_never_overrun(kind: str) -> None:
    assert play(KINDS[kind], 50_000, OutputReserve.CEILING).overrun == 0


def test_what_is_expected_uses_more_of_a_rate() -> None:
    ceiling, expected = (play(KINDS["tokens_per_minute"], 50_000, reserve) for reserve in OutputReserve)
    assert expected.used > 1.2 * ceiling.used
    assert expected.refused < ceiling.refused


def test_the_page_has_the_table_that_it_prints() -> None:
    assert table() in (REPOSITORY / "docs/reference/limits.md").read_text("utf-8")
