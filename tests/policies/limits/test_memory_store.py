"""The store in memory keeps the contract of all stores, and forgets in time."""

from __future__ import annotations

from uuid import uuid4

import pytest

from policies.limits.memory_store import KEEP, TOMBSTONE, MemoryStore
from policies.limits.store import Answer, Used
from tests.policies.limits.rigs import MemoryRig, Rig
from tests.policies.limits.store_contract import PARALLEL, RPM, TPD, TPMO, StoreContract, asked, current, take
from tests.policies.limits.store_contract_grants import GrantContract
from tests.policies.limits.store_contract_windows import DebtContract, WindowContract
from tests.policies.limits.world import NOW, demand, limit


@pytest.fixture
def rig() -> Rig:
    return MemoryRig()


@pytest.fixture
def tenant() -> str:
    return uuid4().hex


class TestReservations(StoreContract):
    pass


class TestGrants(GrantContract):
    pass


class TestWindows(WindowContract):
    pass


class TestDebt(DebtContract):
    pass


class Clock:
    """Milliseconds since the epoch, as the test has it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> MemoryRig:
    return MemoryRig(MemoryStore(clock))


@pytest.mark.parametrize(("later", "answer"), [(TOMBSTONE - 1, Answer(False, 0, (), settled=True)), (TOMBSTONE, None)])
async def test_how_long_an_id_is_remembered_as_settled(
    timed: MemoryRig, clock: Clock, later: int, answer: Answer | None
) -> None:
    of = limit(TPD, 100, "contoso")
    await take(timed, "contoso", of, 5, "r1")
    assert await timed.store.settle("contoso", "r1", Used(1, 4))
    clock.now += later
    again = await take(timed, "contoso", of, 5, "r1")
    assert again == answer if answer is not None else again.admitted


@pytest.mark.parametrize(("later", "corrected"), [(0, True), (KEEP - 1, True), (KEEP, False)])
async def test_how_long_an_ended_lease_can_be_corrected(
    timed: MemoryRig, clock: Clock, later: int, corrected: bool
) -> None:
    of = limit(TPMO, 100, "contoso")
    await take(timed, "contoso", of, 5, "r1", lease=10.0)
    clock.now += 9_999
    assert not await timed.store.expire("contoso", "r1")
    clock.now += 1
    assert await timed.store.expire("contoso", "r1")
    clock.now += later
    assert await timed.store.settle("contoso", "r1", Used(1, 4)) is corrected
    assert await current(timed, of) == (4 if corrected else 5)


async def test_a_lease_that_nobody_ends_is_forgotten_as_well(timed: MemoryRig, clock: Clock) -> None:
    """While Redis is away nobody reaps."""
    of = limit(PARALLEL, 100, "contoso")
    for index in range(50):
        await take(timed, "contoso", of, 1, f"r{index}", lease=10.0)
    clock.now += 10_000 + KEEP - 1
    assert len(await timed.store.overdue("contoso", 100)) == 50
    assert len(timed.memory) == 50
    clock.now += 1
    assert not await timed.store.settle("contoso", "r0", Used())
    assert await timed.store.overdue("contoso", 100) == []
    assert not await timed.store.expire("contoso", "r1")
    assert len(timed.memory) == 1
    clock.now += TOMBSTONE
    await timed.store.settle("contoso", "another", Used())
    assert len(timed.memory) == 1


async def test_a_subject_is_forgotten_when_its_longest_window_is_over(timed: MemoryRig, clock: Clock) -> None:
    day, minute = limit(TPD, 100, "contoso"), limit(RPM, 100, "contoso")
    await timed.store.reserve(asked("contoso", demand(day, 5, seconds=200), id="r1", at=0))
    clock.now += 10_000
    await timed.store.reserve(asked("contoso", demand(minute, 1, seconds=100), id="r2", at=0))
    clock.now += 190_000 - 1
    other = limit(RPM, 100, "fabrikam")
    await take(timed, "fabrikam", other, 1, "r3", at=0)
    assert await current(timed, day) == 5
    await timed.store.reserve(asked("contoso", demand(minute, 1, seconds=100), id="r4", at=0))
    clock.now += 99_999
    await take(timed, "fabrikam", other, 1, "r5", at=0)
    assert await current(timed, day) == 5
    clock.now += 1
    await take(timed, "fabrikam", other, 1, "r6", at=0)
    assert await current(timed, day) is None
    assert await current(timed, minute) is None
    assert await current(timed, other) is not None
    # What is settled now has nothing left to correct.
    assert await timed.store.settle("contoso", "r1", Used(1, 50))
    assert await current(timed, day) is None


async def test_what_is_asked_about_is_not_changed_by_asking(timed: MemoryRig) -> None:
    """A refused exchange in the next window leaves the counter in the old one."""
    of = limit(TPD, 100, "contoso")
    await take(timed, "contoso", of, 40, "r1")
    before = timed.memory.counter(of.key, of.rule.kind.counter)
    assert before is not None
    written = before.write()
    assert not (await take(timed, "contoso", of, 101, "r2", at=NOW + 86_400_000)).admitted
    after = timed.memory.counter(of.key, of.rule.kind.counter)
    assert after is not None
    assert after.write() == written
