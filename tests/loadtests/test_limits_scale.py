"""What limits cost with few subjects and with many: that it is measured, and what is told of it."""

from __future__ import annotations

import pytest

from loadtests import limits_scale
from loadtests.limits_scale import Taken, main, measure, ratio, table


async def test_both_sides_are_served_and_their_memory_is_counted() -> None:
    few, many, subject, reservation = await measure(2, 40, rounds=1)
    assert (few.users, many.users) == (2, 40)
    # Two bursts each, and no exchange is free.
    assert [len(one) for one in (few.policy, few.server, many.policy, many.server)] == [2] * 4
    assert min(*few.policy, *many.policy) > 0
    assert subject > 100
    assert reservation > 100


def test_the_first_burst_does_not_count() -> None:
    few, many = Taken(10, [900.0, 50.0, 52.0, 51.0], [90.0, 80.0, 80.0, 80.0]), Taken(100, [9.0, 51.0], [9.0, 88.0])
    assert ratio(few, many) == 1.0
    assert table(few, many, 398.4, 441.6).splitlines()[2:] == [
        "| 10 | 51.0 | 80.0 |",
        "| 100 | 51.0 | 88.0 |",
        "| ratio | 1.00 | 1.10 |",
        "",
        "A user with three limits of their own takes 398 bytes, an open reservation 442.",
    ]


@pytest.mark.parametrize(("taken", "status"), [(55.0, 0), (55.1, 1)])
def test_what_grows_by_more_than_a_tenth_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], taken: float, status: int
) -> None:
    async def measured(few: int, many: int, rounds: int) -> tuple[Taken, Taken, float, float]:
        assert (few, many, rounds) == (10, 500, 3)
        return Taken(few, [0.0, 50.0], [0.0, 80.0]), Taken(many, [0.0, taken], [0.0, 80.0]), 1.0, 1.0

    monkeypatch.setattr(limits_scale, "measure", measured)
    assert main(["--many", "500", "--rounds", "3"]) == status
    assert "| 500 | " in capsys.readouterr().out
