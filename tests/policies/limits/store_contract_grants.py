"""What every store does: how much output it grants, what is refused, shadowed, forced."""

from __future__ import annotations

import pytest

from policies.limits.store import Answer, Demand, Standing, Used
from tests.policies.limits.rigs import Rig
from tests.policies.limits.store_contract import PICO, RPM, TPD, TPMO, asked, current, take
from tests.policies.limits.world import demand, limit

DAY: int = 86_400_000
WHO = ("", "/user=alice", "/app=chat")


def budgets(tenant: str, *asked: tuple[int, int, int], **more: bool) -> list[Demand]:
    """Demands on a budget each, of (amount, fixed, per output token)."""
    return [
        demand(limit(TPD, amount, tenant + WHO[index]), fixed, per_output, **more)
        for index, (amount, fixed, per_output) in enumerate(asked)
    ]


class GrantContract:
    """How much is granted."""

    @pytest.mark.parametrize(
        ("asks", "output", "floor", "granted", "refused", "used"),
        [
            # One budget: all of it, what is left, exactly the floor, less than that, not even the input.
            ([(100, 10, PICO)], 50, 1, 50, [False], [60]),
            ([(100, 10, PICO)], 90, 1, 90, [False], [100]),
            ([(100, 10, PICO)], 91, 1, 90, [False], [100]),
            ([(100, 10, PICO)], 10**6, 90, 90, [False], [100]),
            ([(100, 10, PICO)], 10**6, 91, 90, [True], [0]),
            ([(100, 100, PICO)], 50, 1, 0, [True], [0]),
            ([(100, 101, PICO)], 50, 1, 0, [True], [0]),
            # A floor above what is asked is no floor; one of 0 admits an answer of nothing.
            ([(100, 10, PICO)], 50, 70, 50, [False], [60]),
            ([(100, 100, PICO)], 50, 0, 0, [False], [100]),
            ([(100, 100, PICO)], 0, 9, 0, [False], [100]),
            # The tightest of many, wherever it stands.
            ([(100, 10, PICO), (50, 10, PICO), (70, 10, PICO)], 90, 1, 40, [False] * 3, [50, 50, 50]),
            ([(50, 10, PICO), (100, 10, PICO), (70, 10, PICO)], 90, 1, 40, [False] * 3, [50, 50, 50]),
            # Each that leaves less than the floor says so, wherever it stands.
            ([(20, 10, PICO), (30, 10, PICO), (70, 10, PICO)], 90, 25, 10, [True, True, False], [0, 0, 0]),
            ([(70, 10, PICO), (30, 10, PICO), (20, 10, PICO)], 90, 25, 10, [False, True, True], [0, 0, 0]),
            # Fractions: the output is rounded down, its need is rounded up.
            ([(100, 10, PICO // 3)], 10**6, 1, 270, [False], [100]),
            ([(100, 0, 1_500_000)], 99, 1, 66, [False], [99]),
            ([(100, 0, 7_000_001)], 99, 1, 14, [False], [99]),
            ([(100, 0, 1)], 10**9, 1, 10**8, [False], [100]),
            ([(100, 0, 1)], 1, 1, 1, [False], [1]),
            ([(100, 1, 3 * PICO // 2), (100, 1, PICO // 7)], 1_000, 1, 66, [False, False], [100, 11]),
            ([(2_000_000, 0, PICO)], 2_000_001, 1, 2_000_000, [False], [2_000_000]),
            # One without output has no say in it.
            ([(100, 10, PICO), (20, 20, 0)], 50, 1, 50, [False, False], [60, 20]),
            ([(100, 10, PICO), (20, 21, 0)], 50, 1, 50, [False, True], [0, 0]),
        ],
    )
    async def test_output_is_granted_by_the_tightest_budget(
        self,
        rig: Rig,
        tenant: str,
        asks: list[tuple[int, int, int]],
        output: int,
        floor: int,
        granted: int,
        refused: list[bool],
        used: list[int],
    ) -> None:
        answer = await rig.store.reserve(asked(tenant, *budgets(tenant, *asks), output=output, floor=floor))
        assert (answer.admitted, answer.output) == (not any(refused), granted)
        assert [(one.refused, one.used) for one in answer.standings] == list(zip(refused, used, strict=True))

    async def test_what_is_used_and_reserved_is_not_granted_again(self, rig: Rig, tenant: str) -> None:
        for id, granted in (("r1", 60), ("r2", 20), ("r3", 0)):
            answer = await rig.store.reserve(
                asked(tenant, *budgets(tenant, (100, 10, PICO)), id=id, output=60 if id == "r1" else 10**6)
            )
            assert (answer.admitted, answer.output) == (granted > 0, granted)
        await rig.store.settle(tenant, "r1", Used(1, 30))
        answer = await rig.store.reserve(asked(tenant, *budgets(tenant, (100, 10, PICO)), id="r4", output=10**6))
        assert (answer.output, answer.standings) == (30, (Standing(100, 0, DAY, False, 70),))

    @pytest.mark.parametrize("more", [{"clamps": False}, {"shadow": True}, {"expected": True}])
    async def test_limits_that_do_not_clamp(self, rig: Rig, tenant: str, more: dict[str, bool]) -> None:
        answer = await rig.store.reserve(asked(tenant, *budgets(tenant, (100, 10, PICO), **more), output=91, expected=91))
        assert (answer.admitted, answer.output) == ("shadow" in more, 91)
        assert answer.standings[0].refused

    @pytest.mark.parametrize(
        ("output", "expected", "used"), [(500, 40, 50), (30, 40, 40), (500, 90, 100), (500, 91, None), (500, 0, 10)]
    )
    async def test_what_is_usual_is_reserved(
        self, rig: Rig, tenant: str, output: int, expected: int, used: int | None
    ) -> None:
        [usual] = budgets(tenant, (100, 10, PICO), expected=True)
        answer = await rig.store.reserve(asked(tenant, usual, output=output, expected=expected))
        assert (answer.admitted, answer.output) == (used is not None, output)
        assert answer.standings[0].used == (used or 0)

    async def test_what_is_usual_is_no_more_than_what_is_granted(self, rig: Rig, tenant: str) -> None:
        usual = demand(limit(TPMO, 1_000, tenant), 10, PICO, expected=True)
        [tight] = budgets(tenant, (100, 10, PICO))
        answer = await rig.store.reserve(asked(tenant, tight, usual, output=500, expected=300))
        assert (answer.output, [one.used for one in answer.standings]) == (90, [100, 100])

    @pytest.mark.parametrize("fixed", [0, 1])
    @pytest.mark.parametrize("kind", [RPM, TPD, "dollars_per_month", "parallel_requests"])
    async def test_a_limit_of_nothing_admits_nothing(self, rig: Rig, tenant: str, kind: str, fixed: int) -> None:
        of = limit(kind, 0, tenant)
        answer = await take(rig, tenant, of, fixed, "r1")
        assert (answer.admitted, answer.standings[0].refused) == (False, True)
        shadowed = await rig.store.reserve(asked(tenant, demand(of, fixed, shadow=True), id="r2"))
        assert (shadowed.admitted, shadowed.standings[0].refused) == (True, True)
        assert await current(rig, of) == fixed

    async def test_a_shadow_counts_and_does_not_refuse(self, rig: Rig, tenant: str) -> None:
        shadow, real = limit(TPD, 10, tenant, shadow=True), limit(TPD, 40, f"{tenant}/user=alice")
        answers = [
            await rig.store.reserve(asked(tenant, demand(shadow, 15), demand(real, 15), id=id))
            for id in ("r1", "r2", "r3")
        ]
        assert [one.admitted for one in answers] == [True, True, False]
        assert [[standing.refused for standing in one.standings] for one in answers] == [
            *([True, False], [True, False], [True, True])
        ]
        assert (await current(rig, shadow), await current(rig, real)) == (30, 30)

    async def test_what_has_happened_counts_whatever_the_limits_say(self, rig: Rig, tenant: str) -> None:
        """All of it: nothing is left to be clamped."""
        full, none, rate = limit(TPD, 100, tenant), limit(TPMO, 0, tenant), limit(RPM, 1, tenant)
        await rig.store.reserve(asked(tenant, demand(full, 90), demand(rate), id="r0"))
        demands = demand(full, 10, PICO), demand(none, 5, PICO), demand(rate)
        answer = await rig.store.reserve(asked(tenant, *demands, output=50, force=True))
        assert (answer.admitted, answer.output) == (True, 50)
        assert [(one.used, one.refused) for one in answer.standings] == [(150, True), (55, True), (2, True)]
        again = asked(tenant, *demands, output=50, force=True)
        assert await rig.store.reserve(again) == Answer(True, 50, ())
        await rig.store.settle(tenant, "r1", Used(1, 33))
        assert [await current(rig, of) for of in (full, none, rate)] == [123, 33, 2]
