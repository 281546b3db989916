"""How much of their budgets tenants have used: as the store said, for as long as that holds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from extproc.metrics import Metrics
from extproc.snapshots import read
from policies.limits.budgets import ROOM, Budgets
from policies.limits.limit import Limit
from policies.limits.reserving import Reserved
from policies.limits.store import Ask, Standing
from policies.limits.told import Stood
from tests.policies.limits.world import ask, demand, limit

DAY = "tokens_per_day"


class World:
    """Budgets on a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.away = False
        self.metrics = Metrics()
        self.budgets = Budgets(self.metrics, lambda: self.now, lambda: self.away)

    def see(self, of: Limit, used: int, *, reserved: int = 0, reset: int = 60_000, local: tuple[Ask, ...] = ()) -> None:
        standing = Standing(used, 0, reset, reserved=reserved)
        self.budgets.see(Reserved("r", 0, (Stood(of, demand(of), standing),), local=local))


def budget(tenant: str = "t1", kind: str = DAY, amount: int = 1_000) -> Limit:
    return limit(kind, amount, tenant)


@pytest.mark.parametrize(
    ("used", "reserved", "amount", "share"),
    [(0, 0, 10, 0), (5, 0, 10, 500), (999, 0, 1_000, 999), (1_500, 0, 1_000, 1_500), (9, 4, 10, 500), (4, 9, 10, 0)],
)
def test_what_is_settled_counts_and_what_is_reserved_may_be_given_back(
    used: int, reserved: int, amount: int, share: int
) -> None:
    world = World()
    world.see(budget(amount=amount), used, reserved=reserved)
    assert world.budgets.read() == {("t1", DAY): share}


@pytest.mark.parametrize(
    "other",
    [
        limit("tokens_per_minute", 10, "t1"),
        limit("requests_per_day", 10, "t1"),
        limit("parallel_requests", 10, "t1"),
        limit(DAY, 10, "t1/user=alice"),
        limit(DAY, 0, "t1"),
    ],
    ids=lambda of: f"{of.subject} {of.rule.kind.name}",
)
def test_what_is_no_budget_of_a_tenant_is_not_told(other: Limit) -> None:
    world = World()
    world.see(other, 5)
    assert world.budgets.read() == {}


def test_every_budget_of_everybody_is_told() -> None:
    world = World()
    for kind in (DAY, "tokens_per_month", "dollars_per_day", "dollars_per_month"):
        world.see(budget(kind=kind, amount=10), 5)
    world.see(limit(DAY, 10, "everyone"), 2)
    kinds = {kind for tenant, kind in world.budgets.read() if tenant == "t1"}
    assert kinds == {DAY, "tokens_per_month", "dollars_per_day", "dollars_per_month"}
    assert world.budgets.read()["*", DAY] == 200


def test_it_holds_until_the_window_ends_or_limits_are_changed() -> None:
    world = World()
    world.see(budget("t1"), 500, reset=10_000)
    world.see(budget("t2"), 500, reset=20_000)
    world.now += 9.9
    assert len(world.budgets.read()) == 2
    world.now += 0.1
    assert set(world.budgets.read()) == {("t2", DAY)}
    world.see(budget("t1"), 500, reset=10_000)
    assert len(world.budgets.read()) == 2
    world.budgets.forget()
    assert world.budgets.read() == {}


def test_what_a_worker_counts_by_itself_tells_of_no_budget() -> None:
    world = World()
    world.see(budget(), 500)
    world.see(budget(), 1, local=(ask(),))
    world.away = True
    world.see(budget(), 2)
    assert world.budgets.read() == {("t1", DAY): 500}


def test_however_many_tenants_there_are_the_fullest_are_told() -> None:
    world = World()
    for index in range(3 * 4_096):
        # The emptiest come first, and last.
        world.see(budget(f"t{index}", amount=20_000), 10_000 - abs(6_000 - index))
    found = world.budgets.read()
    assert len(found) == ROOM
    assert ("t6000", DAY) in found
    assert min(found.values()) >= (10_000 - ROOM) * 1_000 // 20_000
    assert len(world.budgets._known) <= 4_096


def test_it_is_told_by_the_thousandth_and_only_where_it_has_changed() -> None:
    world = World()
    of = budget(amount=1_000_000)
    world.see(of, 500_000)
    (piece,) = world.metrics.take()
    snapshot = read(piece)
    assert snapshot is not None
    (series,) = snapshot.series
    assert (series.definition.name, series.definition.per, series.definition.merge) == (
        "sluicegate_limits_used_ratio",
        1_000,
        "max",
    )
    assert series.values == [(("t1", DAY), 500)]
    world.see(replace(of), 500_999)
    assert world.metrics.take() == []
    world.see(of, 501_000)
    assert len(world.metrics.take()) == 1
