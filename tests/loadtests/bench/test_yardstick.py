"""A fixed piece of work, and how long it takes."""

from __future__ import annotations

import time

import pytest

from loadtests.bench import yardstick


def test_it_is_the_same_work_each_time() -> None:
    assert yardstick.work() == yardstick.work() == sum(range(20_000)) + 16 + 240 * 2 + 3_840 * 3 + 15_904 * 4 + 512


def test_the_quickest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 9.0, 10.0, 12.0, *(value for _ in range(23) for value in (0.0, 5.0))])
    monkeypatch.setattr(yardstick, "work", lambda: 0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    assert yardstick.yardstick() == 2.0
