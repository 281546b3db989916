"""Allowances: so many in every interval."""

from __future__ import annotations

from extproc.wire.limits import Allowances, Limits


def test_an_allowance_ends_and_begins_anew() -> None:
    allowances = Allowances(Limits(pings_per_interval=2, interval=10.0))
    assert [allowances.spend("too_many_pings", 100.0 + index) for index in range(3)] == [True, True, False]
    assert not allowances.spend("too_many_pings", 109.9)
    assert allowances.spend("too_many_pings", 110.0)


def test_one_is_not_spent_by_another() -> None:
    allowances = Allowances(Limits(pings_per_interval=0))
    assert not allowances.spend("too_many_pings", 1.0)
    assert allowances.spend("too_many_settings", 1.0)
