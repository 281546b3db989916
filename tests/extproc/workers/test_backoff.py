"""Waiting before a replacement."""

from __future__ import annotations

import pytest

from extproc.workers.backoff import BackOff


@pytest.mark.parametrize(
    ("lives", "delays"),
    [
        ([1.0], [0.0]),
        ([1.0] * 8, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
        ([1.0, 1.0, 1.0, 3600.0, 1.0], [0.0, 0.5, 1.0, 0.0, 0.5]),
        ([59.9, 59.9, 60.0], [0.0, 0.5, 0.0]),
    ],
)
def test_at_once_then_later_and_later_until_one_has_lived(lives: list[float], delays: list[float]) -> None:
    backoff, found = BackOff(), []
    for lived in lives:
        delay, backoff = backoff.after(lived)
        found.append(delay)
    assert found == delays


def test_it_stays_at_ten_seconds_for_ever() -> None:
    assert BackOff(10**9).after(0.0)[0] == 10.0
