"""What every store does: reserving, settling, and leases that end. `store_contract_windows` says the same of windows.

A class of tests for whoever gives it a `rig`; all of them may share one server, for each has a tenant of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from msgspec.structs import replace

from policies.limits.limit import KINDS, Limit
from policies.limits.store import Answer, Ask, Demand, Overdue, Standing, Used
from policies.limits.subjects import Subject
from policies.limits.windows import Counter
from tests.policies.limits.rigs import Rig
from tests.policies.limits.world import ask, demand, limit

PICO: Final = 1_000_000
NOW: Final = 1_704_067_200_000
"""2024-01-01T00:00:00Z: the beginning of a minute, a day and a month. It is past: what has happened cannot be later."""
TPD: Final = "tokens_per_day"
TPMO: Final = "tokens_per_month"
RPM: Final = "requests_per_minute"
PARALLEL: Final = "parallel_requests"
WHO: Final = ("", "/user=alice", "/app=chat", "/model=gpt-4o", "/user=alice,model=gpt-4o")


async def current(rig: Rig, of: Limit) -> int | None:
    """What is used of a limit in the window that was last written; None where nothing ever was."""
    counter = await rig.counter(of.key, of.rule.kind.counter)
    return None if counter is None else counter.current


async def open_part(rig: Rig, of: Limit) -> int:
    counter = await rig.counter(of.key, of.rule.kind.counter)
    assert counter is not None
    return counter.reserved


def asked(tenant: str, *demands: Demand, id: str = "r1", **more: Any) -> Ask:
    return ask(*demands, tenant=tenant, **{"id": id, "at": NOW, **more})


def named(tenant: str) -> Limit:
    """A limit on a tenant that a command line would have to quote."""
    whom = Subject(tenant)
    return replace(limit(TPD, 100), subject=whom, key=whom.key())


async def take(rig: Rig, tenant: str, of: Limit, need: int, id: str, **more: Any) -> Answer:
    return await rig.store.reserve(asked(tenant, demand(of, need), id=id, **more))


class StoreContract:
    """Reservations."""

    async def test_it_reserves_on_every_level(self, rig: Rig, tenant: str) -> None:
        limits = [limit(kind, 1_000, tenant + who) for who in WHO for kind in (RPM, TPD)]
        answer = await rig.store.reserve(asked(tenant, *(demand(of, 1 + at) for at, of in enumerate(limits))))
        assert (answer.admitted, answer.settled, len(answer.standings)) == (True, False, 10)
        assert [one.used for one in answer.standings] == [one.reserved for one in answer.standings] == [*range(1, 11)]
        assert [await current(rig, of) for of in limits] == [*range(1, 11)]
        assert [await open_part(rig, of) for of in limits] == [*range(1, 11)]

    @pytest.mark.parametrize("full", range(10))
    async def test_or_on_none(self, rig: Rig, tenant: str, full: int) -> None:
        limits = [limit(kind, 1_000, tenant + who) for who in WHO for kind in (RPM, TPD)]
        assert (await take(rig, tenant, limits[full], 991, "before")).admitted
        answer = await rig.store.reserve(asked(tenant, *(demand(of, 10) for of in limits)))
        assert not answer.admitted
        assert [one.refused for one in answer.standings] == [at == full for at in range(10)]
        assert [one.used for one in answer.standings] == [991 if at == full else 0 for at in range(10)]
        assert [await current(rig, of) for of in limits] == [991 if at == full else None for at in range(10)]
        assert await rig.store.settle(tenant, "r1", Used(1, 5)) is False

    async def test_a_limit_is_exact(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 10, tenant)
        answers = [await take(rig, tenant, of, 3, f"r{index}") for index in range(5)]
        assert [(one.admitted, one.standings[0].used) for one in answers] == [
            *((True, 3), (True, 6), (True, 9), (False, 9), (False, 9)),
        ]
        assert (await take(rig, tenant, of, 1, "last")).admitted
        assert not (await take(rig, tenant, of, 1, "one too many")).admitted

    async def test_of_two_hundred_at_once_exactly_the_limit_is_admitted(self, rig: Rig, tenant: str) -> None:
        user, whole = limit(RPM, 77, f"{tenant}/user=alice"), limit(TPD, 1_000, tenant)
        answers = await asyncio.gather(
            *(rig.store.reserve(asked(tenant, demand(whole, 10), demand(user), id=f"r{index}")) for index in range(200))
        )
        assert sum(one.admitted for one in answers) == 77
        assert (await current(rig, user), await current(rig, whole)) == (77, 770)
        settled = await asyncio.gather(*(rig.store.settle(tenant, f"r{index}", Used(1, 4)) for index in range(200)))
        assert settled == [one.admitted for one in answers]
        assert (await current(rig, user), await current(rig, whole)) == (77, 308)

    async def test_the_same_ask_again_reserves_nothing_more(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 1_000, tenant)
        first = asked(tenant, demand(of, 7, PICO), output=20)
        answer = await rig.store.reserve(first)
        assert (answer.admitted, answer.output) == (True, 20)
        for _ in range(2):
            assert await rig.store.reserve(first) == Answer(True, 20, ())
        # It is the id that counts.
        assert await take(rig, tenant, of, 5_000, "r1") == Answer(True, 20, ())
        assert await current(rig, of) == 27

    async def test_one_that_was_refused_can_be_made_later(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 10, tenant)
        await take(rig, tenant, of, 8, "r0")
        assert not (await take(rig, tenant, of, 8, "r1")).admitted
        await rig.store.settle(tenant, "r0", Used(1, 1))
        assert (await take(rig, tenant, of, 8, "r1")).admitted

    async def test_ids_are_a_tenants_own(self, rig: Rig, tenant: str) -> None:
        one, two = limit(TPD, 100, tenant), limit(TPD, 100, f"{tenant}%2D2")
        await take(rig, tenant, one, 30, "r1")
        answer = await rig.store.reserve(asked(two.subject.tenant, demand(two, 40)))
        assert answer.standings[0].used == 40
        assert await rig.store.settle(tenant, "r1", Used(1, 3))
        assert (await current(rig, one), await current(rig, two)) == (3, 40)

    @pytest.mark.parametrize("id", ["a b", "ü" * 40, "{x}", "a:b*?[c]", "%7B", "\x00\n", "x" * 500])
    async def test_names_of_all_kinds(self, rig: Rig, tenant: str, id: str) -> None:
        whose = f"{tenant} {id}"
        of = named(whose)
        answer = await rig.store.reserve(asked(whose, demand(of, 3), id=id, lease=0.0, request_id=id))
        assert answer.admitted
        assert await rig.store.overdue(whose, 5) == [Overdue(whose, id, id, Used(0, 3), (of.key,))]
        assert await rig.store.expire(whose, id)
        assert await rig.store.settle(whose, id, Used(1, 2))
        assert await current(rig, of) == 2

    async def test_nothing_is_asked(self, rig: Rig, tenant: str) -> None:
        assert await rig.store.reserve(asked(tenant, output=9)) == Answer(True, 9, ())
        assert await rig.store.reserve(asked(tenant, output=9)) == Answer(True, 9, ())
        assert await rig.store.settle(tenant, "r1", Used(1, 1))

    @pytest.mark.parametrize(
        ("kind", "used"),
        [
            (kind, used)
            for kind in sorted(KINDS)
            for used in (Used(), Used(2, 30, 400), Used(1, 50, 50), Used(9, 999, 999))
        ],
    )
    async def test_settling_leaves_what_was_used(self, rig: Rig, tenant: str, kind: str, used: Used) -> None:
        """Below what was reserved, as much, and above; of the limit's own measure."""
        of = limit(kind, 100, tenant)
        await take(rig, tenant, of, 7, "other")
        assert (await take(rig, tenant, of, 50, "r1")).standings[0].used == 57
        assert await rig.store.settle(tenant, "r1", used)
        measured = {"requests": used.requests, "tokens": used.tokens, "dollars": used.dollars, "parallel": 0}
        assert await current(rig, of) == 7 + measured[of.rule.kind.measure]
        assert await open_part(rig, of) == 7

    async def test_what_is_used_above_the_limit_counts(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 100, tenant)
        await take(rig, tenant, of, 100, "r1")
        assert await rig.store.settle(tenant, "r1", Used(1, 250))
        assert (await take(rig, tenant, of, 1, "r2")) == Answer(False, 0, (Standing(250, 0, 86_400_000, True, 0),))

    async def test_settled_once(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 100, tenant)
        await take(rig, tenant, of, 50, "r1")
        told = await asyncio.gather(*(rig.store.settle(tenant, "r1", Used(1, 20 + index)) for index in range(5)))
        assert sorted(told) == [False] * 4 + [True]
        once = await current(rig, of)
        assert once == 20 + told.index(True)
        assert not await rig.store.settle(tenant, "r1", Used(1, 90))
        assert await rig.store.reserve(asked(tenant, demand(of, 50))) == Answer(False, 0, (), settled=True)
        assert await current(rig, of) == once

    async def test_many_are_settled_at_once(self, rig: Rig, tenant: str) -> None:
        """Of several tenants, in a cluster on several nodes; one of them twice, and one that is not known."""
        tenants = [f"{tenant}-{index}" for index in range(20)]
        limits = [named(whose) for whose in tenants]
        for whose, of in zip(tenants, limits, strict=True):
            await take(rig, whose, of, 50, "r1")
        settlements = [(whose, "r1", Used(1, index)) for index, whose in enumerate(tenants)]
        told = await rig.store.settle_all([*settlements, (tenants[3], "r1", Used(1, 99)), (tenant, "r9", Used())])
        assert told == [True] * 20 + [False] * 2
        assert [await current(rig, of) for of in limits] == [*range(20)]
        assert await rig.store.settle_all(settlements) == [False] * 20
        assert await rig.store.settle_all([]) == []

    async def test_many_of_one_tenant_are_settled_on_the_counters_that_they_share(self, rig: Rig, tenant: str) -> None:
        """More than leave in one call; some of them twice, and some that are not known."""
        limits = [limit(RPM, 1_000, f"{tenant}/user=alice"), limit(TPD, 10_000, tenant), limit(TPMO, 10_000, tenant)]
        for index in range(40):
            wants = [demand(of, 1 if of.rule.kind.name == RPM else 50) for of in limits]
            assert (await rig.store.reserve(asked(tenant, *wants, id=f"r{index}"))).admitted
        settlements = [(tenant, f"r{index}", Used(1, index)) for index in range(40)]
        told = await rig.store.settle_all(
            [*settlements[:39], settlements[3], (tenant, "r99", Used(1, 7)), settlements[39]]
        )
        assert told == [True] * 39 + [False] * 2 + [True]
        assert [await current(rig, of) for of in limits] == [40, sum(range(40)), sum(range(40))]
        assert [await open_part(rig, of) for of in limits] == [0, 0, 0]
        assert await rig.store.settle_all(settlements) == [False] * 40
        assert await rig.store.reserve(asked(tenant, demand(limits[1], 50), id="r99")) == Answer(
            False, 0, (), settled=True
        )

    async def test_a_reservation_that_its_settlement_has_overtaken(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 100, tenant)
        assert not await rig.store.settle(tenant, "r1", Used(1, 20))
        assert await take(rig, tenant, of, 50, "r1") == Answer(False, 0, (), settled=True)
        assert await rig.store.reserve(asked(tenant, demand(of, 50), force=True)) == Answer(False, 0, (), settled=True)
        assert await current(rig, of) is None
        assert not await rig.store.settle(tenant, "r1", Used(1, 20))

    async def test_a_lease_ends(self, rig: Rig, tenant: str) -> None:
        of, parallel = limit(TPD, 100, tenant), limit(PARALLEL, 2, tenant)
        both = demand(of, 50), demand(parallel)
        assert (await rig.store.reserve(asked(tenant, *both, lease=0.0))).admitted
        assert await rig.store.expire(tenant, "r1")
        assert not await rig.store.expire(tenant, "r1")
        assert (await current(rig, of), await open_part(rig, of)) == (50, 0)
        assert (await current(rig, parallel), await open_part(rig, parallel)) == (0, 0)
        assert await rig.store.overdue(tenant, 10) == []
        # It is still the same reservation.
        assert await rig.store.reserve(asked(tenant, *both)) == Answer(True, 0, ())
        assert await current(rig, of) == 50

    async def test_a_settlement_after_that_corrects_it(self, rig: Rig, tenant: str) -> None:
        of, parallel = limit(TPD, 100, tenant), limit(PARALLEL, 3, tenant)
        for index, id in enumerate(("r1", "r2")):
            both = demand(of, 30), demand(parallel)
            await rig.store.reserve(asked(tenant, *both, id=id, lease=60.0 * index))
        await rig.store.expire(tenant, "r1")
        assert await rig.store.settle(tenant, "r1", Used(1, 12))
        assert (await current(rig, of), await open_part(rig, of)) == (42, 30)
        assert (await current(rig, parallel), await open_part(rig, parallel)) == (1, 1)
        assert not await rig.store.settle(tenant, "r1", Used(1, 30))
        assert not await rig.store.expire(tenant, "r1")
        assert await current(rig, of) == 42

    @pytest.mark.parametrize("ended", ["not yet", "settled", "unknown"])
    async def test_what_is_not_charged_for_its_lease(self, rig: Rig, tenant: str, ended: str) -> None:
        of, parallel = limit(TPD, 100, tenant), limit(PARALLEL, 2, tenant)
        both = demand(of, 50), demand(parallel)
        await rig.store.reserve(asked(tenant, *both, lease=60.0 if ended == "not yet" else 0.0))
        if ended == "settled":
            await rig.store.settle(tenant, "r1", Used(1, 20))
        before = [await rig.counter(one.key, one.rule.kind.counter) for one in (of, parallel)]
        assert not await rig.store.expire(tenant, "r9" if ended == "unknown" else "r1")
        assert [await rig.counter(one.key, one.rule.kind.counter) for one in (of, parallel)] == before
        assert (len(await rig.store.overdue(tenant, 10)) == 1) == (ended == "unknown")

    async def test_the_oldest_lease_first(self, rig: Rig, tenant: str) -> None:
        of = limit(TPD, 100, tenant)
        leases = {"late": 1.2, "never": 60.0, "soon": 0.4, "now": 0.0, "next": 0.8}
        for id, lease in leases.items():
            await take(rig, tenant, of, 1, id, lease=lease, request_id=f"of {id}")
        await take(rig, f"{tenant}-2", limit(TPD, 9, f"{tenant}-2"), 1, "other", lease=0.0)
        async with asyncio.timeout(20):
            while len(await rig.store.overdue(tenant, 10)) < 4:
                await asyncio.sleep(0.005)
        found = await rig.store.overdue(tenant, 10)
        ordered = [(id, f"of {id}") for id in ("now", "soon", "next", "late")]
        assert [(one.id, one.request_id) for one in found] == ordered
        assert await rig.store.overdue(tenant, 2) == found[:2]
        await rig.store.settle(tenant, "soon", Used(1, 1))
        assert await rig.store.overdue(tenant, 2) == [found[0], found[2]]

    async def test_a_lease_that_has_ended_says_what_is_charged_and_to_whom(self, rig: Rig, tenant: str) -> None:
        """Of each measure the most: a limit may reserve less than another."""
        user, whole = f"{tenant}/user=alice", tenant
        kinds = ("requests_per_day", "tokens_per_day", "tokens_per_month", "dollars_per_day", "parallel_requests")
        asks = [demand(limit(kind, 900, user), 3 + index) for index, kind in enumerate(kinds)]
        asks.append(demand(limit(TPD, 900, whole), 70))
        assert (await rig.store.reserve(asked(tenant, *asks, lease=0.0))).admitted
        assert (await rig.store.reserve(asked(tenant, id="r2", lease=0.0))).admitted
        one, other = sorted(await rig.store.overdue(tenant, 5), key=lambda found: found.id)
        assert one.reserved == Used(3, 70, 6)
        assert one.keys == (asks[0].key, asks[-1].key)
        assert (other.reserved, other.keys) == (Used(), ())

    async def test_parallel_exchanges(self, rig: Rig, tenant: str) -> None:
        of = limit(PARALLEL, 2, tenant)
        assert [(await take(rig, tenant, of, 1, id, lease=0.0)).admitted for id in "abc"] == [True, True, False]
        await rig.store.settle(tenant, "a", Used(1, 5))
        assert [(await take(rig, tenant, of, 1, id, lease=0.0)).admitted for id in "de"] == [True, False]
        await rig.store.expire(tenant, "b")
        assert [(await take(rig, tenant, of, 1, id)).admitted for id in "fg"] == [True, False]
        for id in "bdf":
            await rig.store.settle(tenant, id, Used(1, 5))
        assert await rig.counter(of.key, of.rule.kind.counter) == Counter()

    async def test_dollars_in_the_billions(self, rig: Rig, tenant: str) -> None:
        """To the micro-dollar."""
        amount = 5_000_000_000 * PICO
        of = limit("dollars_per_month", amount, tenant)
        assert (await take(rig, tenant, of, amount - 1_001, "r1")).standings[0].used == amount - 1_001
        answer = await rig.store.reserve(asked(tenant, demand(of, 1, 10 * PICO), id="r2", output=10**6))
        assert (answer.output, answer.standings[0].used) == (100, amount)
        assert not (await take(rig, tenant, of, 1, "r3")).admitted
        assert await rig.store.settle(tenant, "r2", Used(1, 0, amount // 2))
        assert await current(rig, of) == amount - 1_001 + amount // 2

    async def test_set_back_with_reservations_in_flight(self, rig: Rig, tenant: str) -> None:
        of, parallel, untouched = limit(TPD, 100, tenant), limit(PARALLEL, 1, tenant), limit(RPM, 9, tenant)
        all_three = demand(of, 60), demand(parallel), demand(untouched)
        for id, lease in (("r1", 60.0), ("r2", 0.0)):
            await rig.store.reserve(asked(tenant, *all_three, id=id, lease=lease, force=True))
        names = [of.rule.kind.counter, parallel.rule.kind.counter, "dpd"]
        assert await rig.reset(of.key, names) == 2
        assert (await current(rig, of), await current(rig, parallel), await current(rig, untouched)) == (0, 0, 2)
        assert (await rig.store.reserve(asked(tenant, *all_three, id="r3"))).admitted
        # What was reserved before is neither given back nor charged.
        assert await rig.store.settle(tenant, "r1", Used(0, 99))
        assert await rig.store.expire(tenant, "r2")
        assert (await current(rig, of), await open_part(rig, of)) == (60, 60)
        assert (await current(rig, parallel), await current(rig, untouched)) == (1, 2)
        assert await rig.store.settle(tenant, "r3", Used(1, 10))
        assert (await current(rig, of), await current(rig, parallel), await open_part(rig, of)) == (10, 0, 0)
        assert await rig.reset(f"{of.key}-none", names) == 0
