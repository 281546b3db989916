"""What every store does: sliding minutes, days and months, what is settled over their edges, debt that is carried."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from policies.limits.limit import Limit
from policies.limits.store import Answer, Standing, Used, Zone
from policies.limits.windows import zone_at
from tests.policies.limits.rigs import Rig
from tests.policies.limits.store_contract import NOW, RPM, TPD, TPMO, asked, current, take
from tests.policies.limits.world import demand, limit

MINUTE: Final = 60_000
DAY: Final = 86_400_000
TPM: Final = "tokens_per_minute"
# From a window to the next, from NOW on: the first is January 2024.
STEPS: Final = {TPM: MINUTE, TPD: DAY, TPMO: 31 * DAY}
ONE_EACH: Final = sorted(STEPS)


def instant(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def used(rig: Rig, tenant: str, of: Limit, at: int, id: str = "look", **more: bool) -> int:
    """What a refused exchange is told that is used; it changes nothing."""
    answer = await rig.store.reserve(asked(tenant, demand(of, 10**9, **more), id=id, at=at))
    assert not answer.admitted
    return answer.standings[0].used


class WindowContract:
    """Counters in time."""

    @pytest.mark.parametrize(
        ("later", "weighed", "left"),
        [
            (59_999, 60, 0),
            (60_000, 60, 0),
            (60_001, 60, 0),
            (60_999, 60, 0),
            (61_000, 59, 1),
            (61_001, 59, 1),
            (90_000, 30, 30),
            (119_000, 1, 59),
            (119_999, 1, 59),
            (120_000, 0, 60),
            (500_000, 0, 60),
        ],
    )
    async def test_a_minute_slides(self, rig: Rig, tenant: str, later: int, weighed: int, left: int) -> None:
        """The minute before counts by the share of it that lies within the last 60 seconds, rounded up."""
        of = limit(TPM, 60, tenant)
        assert (await take(rig, tenant, of, 60, "r1", at=NOW + 1_000)).admitted
        assert not (await take(rig, tenant, of, left + 1, "r2", at=NOW + later)).admitted
        answer = await take(rig, tenant, of, left, "r3", at=NOW + later)
        in_first, before = later < MINUTE, 60 if MINUTE <= later < 2 * MINUTE else 0
        assert answer.admitted
        assert answer.standings[0] == Standing(
            *(60 if in_first else left, before, MINUTE - later % MINUTE), False, 60 if in_first else left
        )
        assert weighed + left == 60

    @pytest.mark.parametrize(("later", "weighed"), [(60_000, 9 * 10**9), (60_001, 8_999_850_000), (119_999, 150_000)])
    async def test_a_minute_of_billions_slides(self, rig: Rig, tenant: str, later: int, weighed: int) -> None:
        of = limit(TPM, 10**10, tenant)
        assert (await take(rig, tenant, of, 9 * 10**9, "r1")).admitted
        assert not (await take(rig, tenant, of, 10**10 - weighed + 1, "r2", at=NOW + later)).admitted
        assert (await take(rig, tenant, of, 10**10 - weighed, "r3", at=NOW + later)).admitted

    async def test_a_minute_rolls_over(self, rig: Rig, tenant: str) -> None:
        of = limit(RPM, 3, tenant)
        at = {"a": 0, "b": 59_999, "c": 59_999, "d": 60_000, "e": 80_000, "f": 80_001, "g": 140_000, "h": 200_000}
        told = {id: await take(rig, tenant, of, 1, id, at=NOW + later) for id, later in at.items()}
        assert [id for id, one in told.items() if not one.admitted] == ["d", "f"]
        assert [(told[id].standings[0].used, told[id].standings[0].before) for id in "degh"] == [
            *((0, 3), (1, 3), (1, 1), (1, 1))
        ]

    @pytest.mark.parametrize(
        "zone_name", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"]
    )
    async def test_days_and_months_are_the_calendars(self, rig: Rig, tenant: str, zone_name: str) -> None:
        """Leap years, ends of years, clocks that go forward and back: as Python's own calendar has them."""
        zone = ZoneInfo(zone_name)
        days = (
            "2023-12-31",
            "2024-02-28",
            "2024-02-29",
            "2025-02-28",
            "2026-03-28",
            "2026-10-24",
            "2028-02-29",
            "2100-02-28",
        )
        clocks = ("00:00:00", "00:59:59.999", "12:30", "23:59:59.999")
        moments = [
            instant(f"{day}T{clock}+00:00") + hours * 3_600_000 for day in days for clock in clocks for hours in (0, 30)
        ]
        for index, at in enumerate(sorted(moments)):
            day, month = (limit(kind, 9, f"{tenant}/user=u{index}") for kind in (TPD, TPMO))
            answer = await rig.store.reserve(
                asked(tenant, demand(day), demand(month), id=f"r{index}", at=at, zone=zone_at(zone, at))
            )
            civil = datetime.fromtimestamp(at / 1000, zone)
            midnight = datetime(civil.year, civil.month, civil.day, tzinfo=zone) + timedelta(days=1)
            first = datetime(civil.year + civil.month // 12, civil.month % 12 + 1, 1, tzinfo=zone)
            assert [one.reset for one in answer.standings] == [
                round(end.timestamp() * 1000) - at for end in (midnight, first)
            ]
            written = [await rig.counter(of.key, of.rule.kind.counter) for of in (day, month)]
            assert [one.window if one else None for one in written] == [
                *(civil.toordinal() - datetime(1970, 1, 1).toordinal(), civil.year * 12 + civil.month - 1)
            ]

    @pytest.mark.parametrize(
        ("now", "ends"),
        [
            ("2026-03-29T00:30+01:00", "2026-03-30T00:00+02:00"),
            ("2026-03-29T12:00+02:00", "2026-03-30T00:00+02:00"),
            ("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ],
    )
    async def test_a_day_of_23_hours_and_one_of_25(self, rig: Rig, tenant: str, now: str, ends: str) -> None:
        of, at, end = limit(TPD, 5, tenant), instant(now), instant(ends)
        zone = zone_at(ZoneInfo("Europe/Berlin"), at)
        assert (await take(rig, tenant, of, 5, "r1", at=at, zone=zone)).standings[0].reset == end - at
        assert not (await take(rig, tenant, of, 1, "r2", at=end - 1, zone=zone)).admitted
        assert (await take(rig, tenant, of, 5, "r3", at=end, zone=zone)).admitted

    async def test_where_clocks_go_forward_at_midnight_the_day_begins_with_the_change(
        self, rig: Rig, tenant: str
    ) -> None:
        of, at = limit(TPD, 5, tenant), instant("2026-04-23T22:00+02:00")
        change = instant("2026-04-24T01:00+03:00")
        zone = Zone(7_200, change // 1000, 10_800)
        assert (await take(rig, tenant, of, 5, "r1", at=at, zone=zone)).standings[0].reset == change - at
        assert (await take(rig, tenant, of, 5, "r2", at=change, zone=zone)).admitted

    async def test_where_clocks_go_back_at_midnight_the_day_ends_with_the_second_one(self, rig: Rig, tenant: str) -> None:
        """In Cairo the last Thursday of October has 25 hours."""
        of, at = limit(TPD, 5, tenant), instant("2026-10-29T12:00+03:00")
        change, end = instant("2026-10-30T00:00+03:00"), instant("2026-10-30T00:00+02:00")
        zone = Zone(10_800, change // 1000, 7_200)
        assert (await take(rig, tenant, of, 4, "r1", at=at, zone=zone)).standings[0].reset == end - at
        assert (await take(rig, tenant, of, 1, "r2", at=change, zone=zone)).standings[0] == Standing(
            5, 0, 3_600_000, False, 5
        )
        assert not (await take(rig, tenant, of, 1, "r3", at=end - 1, zone=zone)).admitted
        assert (await take(rig, tenant, of, 5, "r4", at=end, zone=zone)).admitted

    async def test_a_budget_is_there_again_in_its_next_window(self, rig: Rig, tenant: str) -> None:
        day, month = limit(TPD, 10, tenant), limit(TPMO, 15, tenant)
        at = {"a": 0, "b": DAY - 1, "c": DAY, "d": 2 * DAY, "e": 31 * DAY - 1, "f": 31 * DAY}
        told = {
            id: await rig.store.reserve(asked(tenant, demand(day, 10), demand(month, 5), id=id, at=NOW + later))
            for id, later in at.items()
        }
        assert [id for id, one in told.items() if one.admitted] == ["a", "c", "d", "f"]
        assert [one.refused for one in told["e"].standings] == [False, True]
        assert [one.reset for one in told["e"].standings] == [1, 1]

    @pytest.mark.parametrize("kind", ONE_EACH)
    @pytest.mark.parametrize("tokens", [0, 20, 50, 200])
    async def test_what_is_settled_over_the_edge_of_a_window(self, rig: Rig, tenant: str, kind: str, tokens: int) -> None:
        """It counts in the window in which it was reserved, also yesterday and last month."""
        of, step = limit(kind, 1_000, tenant), STEPS[kind]
        await take(rig, tenant, of, 50, "r1")
        answer = await take(rig, tenant, of, 7, "r2", at=NOW + step)
        assert answer.standings[0].used == 7
        assert await rig.store.settle(tenant, "r1", Used(1, tokens))
        counter = await rig.counter(of.key, of.rule.kind.counter)
        assert counter is not None
        assert (counter.current, counter.before, counter.carried, counter.reserved) == (7, tokens, 0, 7)
        at = NOW + step + MINUTE // 2
        assert not (await take(rig, tenant, of, 1_000, "r3", at=at)).admitted
        weighed = tokens // 2 if kind == TPM else 0
        assert (await take(rig, tenant, of, 993 - weighed, "r4", at=at)).admitted

    @pytest.mark.parametrize("kind", ONE_EACH)
    async def test_two_windows_later_it_counts_nowhere(self, rig: Rig, tenant: str, kind: str) -> None:
        of, step = limit(kind, 1_000, tenant), STEPS[kind]
        await take(rig, tenant, of, 50, "r1")
        await take(rig, tenant, of, 7, "r2", at=NOW + 2 * step)
        assert await rig.store.settle(tenant, "r1", Used(1, 400))
        counter = await rig.counter(of.key, of.rule.kind.counter)
        assert counter is not None
        assert (counter.current, counter.before, counter.carried, counter.reserved) == (7, 0, 0, 7)

    @pytest.mark.parametrize("kind", ONE_EACH)
    async def test_nobody_came_since(self, rig: Rig, tenant: str, kind: str) -> None:
        """The counter is still in the old window when it is settled, and is right when it enters the next."""
        of, step = limit(kind, 1_000, tenant), STEPS[kind]
        await take(rig, tenant, of, 50, "r1")
        await rig.store.settle(tenant, "r1", Used(1, 400))
        answer = await take(rig, tenant, of, 7, "r2", at=NOW + step)
        assert (answer.standings[0].used, answer.standings[0].before) == (7, 400 if kind == TPM else 0)

    @pytest.mark.parametrize("kind", ONE_EACH)
    async def test_a_clock_that_goes_back_opens_no_older_window(self, rig: Rig, tenant: str, kind: str) -> None:
        of, step = limit(kind, 100, tenant), STEPS[kind]
        await take(rig, tenant, of, 60, "r1", at=NOW + step)
        answer = await take(rig, tenant, of, 40, "r2", at=NOW + step - 1)
        assert (answer.admitted, answer.standings[0].used) == (True, 100)
        assert not (await take(rig, tenant, of, 1, "r3", at=NOW - 5 * step)).admitted
        # What happened while the store was away is counted in the present window, whenever that was.
        forced = await take(rig, tenant, of, 30, "r4", at=NOW - 5 * step, force=True)
        assert (forced.admitted, forced.standings[0].used) == (True, 130)
        await rig.store.settle(tenant, "r4", Used(1, 10))
        assert await current(rig, of) == 110

    async def test_what_has_happened_was_not_in_the_future(self, rig: Rig, tenant: str) -> None:
        """A worker's clock is ahead: no window is opened that is not there yet."""
        now, later = limit(TPMO, 100, tenant), limit(TPMO, 100, f"{tenant}/user=alice")
        await take(rig, tenant, now, 1, "r1", at=0)
        await take(rig, tenant, later, 1, "r2", at=instant("2199-01-01T00:00+00:00"), force=True)
        written = [await rig.counter(of.key, of.rule.kind.counter) for of in (now, later)]
        assert written[0] is not None
        assert written[1] is not None
        assert written[1].window - written[0].window in (0, 1)

    async def test_without_at_it_is_now(self, rig: Rig, tenant: str) -> None:
        of = limit(TPMO, 100, tenant)
        await take(rig, tenant, of, 1, "r1", at=0)
        counter = await rig.counter(of.key, of.rule.kind.counter)
        today = datetime.now(ZoneInfo("UTC"))
        assert counter is not None
        # The month may end between the two.
        assert today.year * 12 + today.month - 1 - counter.window in (0, 1)


class DebtContract:
    """Limits that reserve what is usual can be overrun: the next windows pay for it."""

    async def overrun(self, rig: Rig, tenant: str, of: Limit, tokens: int, id: str, at: int = NOW) -> None:
        """Reserve 10, use more."""
        await rig.store.reserve(asked(tenant, demand(of, 10, expected=True), id=id, at=at, force=True))
        assert await rig.store.settle(tenant, id, Used(1, tokens))

    @pytest.mark.parametrize("kind", [TPD, TPMO])
    async def test_an_overrun_is_carried_into_the_next_window(self, rig: Rig, tenant: str, kind: str) -> None:
        of, step = limit(kind, 100, tenant), STEPS[kind]
        await self.overrun(rig, tenant, of, 170, "r1")
        assert await used(rig, tenant, of, NOW + step, expected=True) == 70
        answer = await rig.store.reserve(asked(tenant, demand(of, 30, expected=True), at=NOW + step, id="r2"))
        assert answer == Answer(True, 0, (Standing(100, 0, answer.standings[0].reset, False, 30),))
        # One of a limit that is not overrun by reserving is not.
        other = limit("dollars_per_day", 100, tenant)
        await rig.store.reserve(asked(tenant, demand(other, 10), id="r3"))
        await rig.store.settle(tenant, "r3", Used(1, 0, 170))
        assert await used(rig, tenant, other, NOW + DAY) == 0

    @pytest.mark.parametrize("kind", [TPD, TPMO])
    @pytest.mark.parametrize(("later", "left"), [(1, 250), (2, 150), (3, 50), (4, 0), (9, 0)])
    async def test_every_window_pays_for_as_much_as_the_limit_is(
        self, rig: Rig, tenant: str, kind: str, later: int, left: int
    ) -> None:
        """Also one in which nobody came, or in which all were refused: no debt is for ever."""
        of, step = limit(kind, 100, tenant), STEPS[kind]
        await self.overrun(rig, tenant, of, 350, "r1")
        assert await used(rig, tenant, of, NOW + later * step, expected=True) == left
        room = demand(of, max(1, 101 - left), expected=True)
        assert not (await rig.store.reserve(asked(tenant, room, id="r2", at=NOW + later * step))).admitted
        if left < 100:
            room = demand(of, 100 - left, expected=True)
            assert (await rig.store.reserve(asked(tenant, room, id="r2", at=NOW + later * step))).admitted

    async def test_whichever_call_is_the_first_in_a_window_owes_it(self, rig: Rig, tenant: str) -> None:
        """Also one without output, for which there is nothing usual."""
        of = limit(TPD, 100, tenant)
        await self.overrun(rig, tenant, of, 170, "r1")
        embedding = demand(of, 30, carries=True)
        answer = await rig.store.reserve(asked(tenant, embedding, id="r2", at=NOW + DAY))
        assert (answer.admitted, answer.standings[0].used) == (True, 100)
        assert not (await rig.store.reserve(asked(tenant, demand(of, 1, carries=True), id="r3", at=NOW + DAY))).admitted
        assert await rig.store.settle(tenant, "r2", Used(1, 180))
        assert await used(rig, tenant, of, NOW + 2 * DAY, carries=True) == 150

    async def test_debt_on_debt(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 100, tenant)
        await self.overrun(rig, tenant, of, 250, "r1")
        await self.overrun(rig, tenant, of, 30, "r2", NOW + DAY)
        assert [await used(rig, tenant, of, NOW + days * DAY, expected=True) for days in (1, 2, 3)] == [180, 80, 0]

    @pytest.mark.parametrize(("tokens", "debt"), [(0, 0), (20, 0), (45, 5), (60, 20), (200, 160)])
    async def test_what_is_settled_late_corrects_what_was_carried(
        self, rig: Rig, tenant: str, tokens: int, debt: int
    ) -> None:
        """`debt`: of what was used yesterday, with 60 from the day before, above 100."""
        of = limit(TPD, 100, tenant)
        await self.overrun(rig, tenant, of, 160, "r1")
        for id, at in (("r2", NOW + DAY), ("r3", NOW + 2 * DAY)):
            await rig.store.reserve(asked(tenant, demand(of, 30, expected=True), id=id, at=at))
        assert await used(rig, tenant, of, NOW + 2 * DAY, expected=True) == 30
        assert await rig.store.settle(tenant, "r2", Used(1, tokens))
        assert await used(rig, tenant, of, NOW + 2 * DAY, expected=True) == 30 + debt

    async def test_a_limit_of_nothing_is_overrun_by_all(self, rig: Rig, tenant: str) -> None:
        """By what had happened before anybody could be told."""
        of = limit(TPD, 0, tenant)
        for id, at in (("r1", NOW), ("r2", NOW + DAY)):
            await rig.store.reserve(asked(tenant, demand(of, 30, expected=True), id=id, at=at, force=True))
        assert await rig.store.settle(tenant, "r1", Used(1, 50))
        assert await used(rig, tenant, of, NOW + DAY, expected=True) == 80

    async def test_many_settlements_after_midnight(self, rig: Rig, tenant: str) -> None:
        """In whatever order they come, and whether they are above or below what was reserved."""
        of, actual = limit(TPD, 100, tenant), (90, 3, 40, 0, 77)
        for index in range(5):
            await rig.store.reserve(asked(tenant, demand(of, 25, expected=True), id=f"r{index}", force=True))
        await rig.store.reserve(asked(tenant, demand(of, 1, expected=True), id="today", at=NOW + DAY))
        assert await used(rig, tenant, of, NOW + DAY, expected=True) == 26
        for index, tokens in enumerate(actual):
            await rig.store.settle(tenant, f"r{index}", Used(1, tokens))
        assert await used(rig, tenant, of, NOW + DAY, expected=True) == sum(actual) - 100 + 1

    @pytest.mark.parametrize("late", [False, True])
    async def test_a_minute_carries_nothing(self, rig: Rig, tenant: str, late: bool) -> None:
        """It slides: what it was overrun by is in the minute before."""
        of = limit(TPM, 100, tenant)
        minutes = [
            asked(tenant, demand(of, 10, expected=True), id=f"r{index}", at=NOW + index * MINUTE, force=True)
            for index in range(2)
        ]
        await rig.store.reserve(minutes[0])
        if late:
            await rig.store.reserve(minutes[1])
        await rig.store.settle(tenant, "r0", Used(1, 170))
        await rig.store.reserve(minutes[1])
        counter = await rig.counter(of.key, of.rule.kind.counter)
        assert counter is not None
        assert (counter.before, counter.carried, counter.current) == (170, 0, 10)
