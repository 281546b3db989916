"""From the size of a call to a reservation: the tenant's limits first, then those of all tenants together."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from extproc.exchange import Exchange
from policies.limits.demands import Scale, Size, demands, within_rates
from policies.limits.guarded import Guarded
from policies.limits.outage import Fallback
from policies.limits.plan import Plan
from policies.limits.settling import Settlement, Settler
from policies.limits.store import Ask, Demand, Used, Zone
from policies.limits.subjects import EVERYONE
from policies.limits.told import Stood


class Attempts(msgspec.Struct):
    """Under which ids something may be reserved for an exchange: tenant, id, and whether the store may know of it."""

    made: list[tuple[str, str, bool]] = msgspec.field(default_factory=list)


class Reserved(msgspec.Struct, frozen=True):
    """What came of an attempt.

    Attributes:
        id: of the reservation.
        output: tokens granted, for each choice.
        stood: every limit that was asked, and how it stands; empty where the store was away.
        admitted: it is reserved: under these `tenants`' limits in the store, for those in `local` by this worker alone.
    """

    id: str
    output: int
    stood: tuple[Stood, ...]
    admitted: bool = False
    tenants: tuple[str, ...] = ()
    local: tuple[Ask, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """What is to be reserved, for whom. `expected`: how much output of so much such calls usually produce."""

    exchange: Exchange
    tenant: str
    plan: Plan
    size: Size
    expected: Callable[[int], int]


class Reserver:
    """Reserves, and gives back. Shared by all exchanges."""

    __slots__ = ("_clock", "_fallback", "_floor", "_guarded", "_lease", "_scale", "_settler", "_zone")

    def __init__(
        self,
        guarded: Guarded,
        fallback: Fallback,
        settler: Settler,
        scale: Scale,
        *,
        zone: Callable[[float], Zone],
        clock: Callable[[], float],
        lease: float,
        floor: int,
    ) -> None:
        """`lease`: seconds; `floor`: the least output worth granting; `clock`: seconds since the epoch."""
        self._guarded = guarded
        self._fallback = fallback
        self._settler = settler
        self._scale = scale
        self._zone = zone
        self._clock = clock
        self._lease = lease
        self._floor = floor

    async def reserve(self, request: Request) -> Reserved:
        """Reserve under all limits, or under none: what was reserved before one refused is given back."""
        attempts = request.exchange.get(Attempts)
        if attempts is None:
            attempts = Attempts()
            request.exchange.put(attempts)
        # Another attempt is another reservation: the former may still be on its way to the store, or back from it.
        count = len({name for _, name, _ in attempts.made}) if attempts.made else 0
        name = request.exchange.id if count == 0 else f"{request.exchange.id}.{count}"
        own, shared, output = self._demands(request.plan, request.size)
        tenants: list[str] = []
        local: list[Ask] = []
        stood: list[Stood] = []
        asks = ((request.tenant, request.plan.limits, own), (EVERYONE, request.plan.everyone, shared))
        try:
            for tenant, limits, asked in asks:
                if not limits:
                    continue
                ask = self._ask(request, name, tenant, asked, output)
                attempts.made.append((tenant, name, True))
                said = await self._guarded.reserve(limits, ask)
                attempts.made[-1] = (tenant, name, said.asked)
                answer = said.answer
                if answer is None:
                    stood.clear()
                elif answer.standings:
                    stood += map(Stood, limits, asked, answer.standings)
                if answer is None or not answer.admitted:
                    if said.local or tenants or local:
                        self.give_back(attempts)
                    return Reserved(name, output, tuple(stood))
                output = answer.output
                if said.local:
                    local.append(msgspec.structs.replace(ask, force=True, at=int(self._clock() * 1000), output=output))
                else:
                    tenants.append(tenant)
        except BaseException:
            # Cancelled, for whatever reason: what may be reserved is not used.
            self.give_back(attempts)
            raise
        return Reserved(name, output, tuple(stood), True, tuple(tenants), tuple(local))

    def _demands(self, plan: Plan, size: Size) -> tuple[tuple[Demand, ...], tuple[Demand, ...], int]:
        """Of the tenant's limits, of those of everyone, and the output that fits under every rate of both."""
        own = demands(plan.limits, size, self._scale)
        output = within_rates(own, size.output, self._floor)
        if not plan.everyone:
            return own, (), output
        shared = demands(plan.everyone, size, self._scale)
        return own, shared, within_rates(shared, output, self._floor)

    def give_back(self, attempts: Attempts) -> None:
        """Nothing goes up: whatever is reserved for it was never used."""
        for tenant, name, asked in attempts.made:
            self._fallback.settle(tenant, name, Used())
            if asked:
                self._settler.put(Settlement(tenant, name, Used()))

    def _ask(self, request: Request, name: str, tenant: str, asked: tuple[Demand, ...], output: int) -> Ask:
        expected = output
        for demand in asked:
            if demand.expected:
                expected = request.expected(output)
                break
        return Ask(
            name,
            tenant,
            asked,
            self._lease,
            self._zone(self._clock()),
            request.exchange.request.request_id,
            output,
            expected,
            self._floor,
        )
