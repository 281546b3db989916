"""The limits policy: reserve before anything goes up, settle after the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec

from extproc.actuals import Basis, Charged, actual, price_of, source
from extproc.call import Call, OutputCeiling, Payload
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Verdict
from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.outcome import CONTINUE, Mutate, Reject, RequestOutcome
from extproc.policy import Policy, RequestAnswer, Surroundings
from extproc.reservation import Reservation
from extproc.tally import Tally
from policies.limits import refusals, told
from policies.limits.demands import Size, charged, in_units
from policies.limits.limit import Measure
from policies.limits.plan import Caller, Plan
from policies.limits.reservation import CountedHere
from policies.limits.reserving import Attempts, Request, Reserved
from policies.limits.settings import LimitsSettings
from policies.limits.settling import Settlement
from policies.limits.sizing import Known, members_for, uses_tokens
from policies.limits.tallying import tallies
from policies.limits.tokens.estimate import Estimate
from policies.limits.workings import Workings

_NO_MEMBERS: Final[Mapping[str, Any]] = {}
_UNTOLD: Final = frozenset({Ending.CLIENT_GONE, Ending.TIMED_OUT, Ending.REFUSED})
"""How an exchange may end whose verdict never arrived."""
_RETRY_AFTER: Final = 1.0


class _Sized(msgspec.Struct, frozen=True):
    """How large a call is; `known` is None for one that uses no tokens."""

    known: Known | None
    estimate: Estimate
    size: Size


class LimitsPolicy(Policy):
    """Requests, tokens and dollars for every subject at once. Stands last among the policies that can refuse."""

    __slots__ = ("_clock", "_counts", "_settings", "_shadow", "_tariff", "_workings")

    name = "limits"
    Settings = LimitsSettings
    requires = (Identity,)
    provides = (Reservation, CountedHere)
    response_fields = told.FIELDS

    def __init__(self, settings: LimitsSettings, surroundings: Surroundings, workings: Workings) -> None:
        self._settings = settings
        self._shadow = surroundings.shadow
        self._clock = surroundings.clock
        self._workings = workings
        self._tariff = surroundings.catalogue.tariff
        self._counts = dict.fromkeys(("admitted", "refused", "clamped", "soft", "estimated"), 0)

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> LimitsPolicy:
        """Raises ValueError where a vocabulary is missing, or a budget of dollars meets a model without a price."""
        return cls(settings, surroundings, Workings.of(settings, surroundings))

    async def start(self) -> None:
        await self._workings.start()

    async def stop(self) -> None:
        await self._workings.stop()

    def readiness(self) -> str | None:
        return self._workings.readiness()

    def counters(self) -> Mapping[str, int]:
        return {**self._counts, **self._workings.counters()}

    async def tallies(self) -> AsyncIterator[Tally]:
        async for tally in tallies(self._settings):
            yield tally

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        """Reserve what the exchange can use, on every level or on none."""
        call = exchange.need(Call)
        if call.model is not None and exchange.get(Target) is None:
            # Nobody serves this model: nothing will go up.
            return CONTINUE
        plans = self._workings.plans
        session = exchange.request.headers.get(self._settings.session_header) if plans.by_session else None
        caller = Caller.of(exchange.need(Identity), call, session or "")
        plan = plans.plan(caller)
        if not (plan.limits or plan.everyone):
            return CONTINUE
        self._workings.watch.see(caller.tenant, caller.tenant_name)
        sized = self._sized(exchange, call)
        if sized.size.price is None and sized.known is not None and _has_dollars(plan):
            return refusals.unpriced()
        return self._decide(exchange, caller.tenant, plan, sized)

    def on_abandoned(self, exchange: Exchange) -> None:
        """Nothing goes up, and what may be reserved is given back. If it is settled as well, that changes nothing."""
        attempts = exchange.get(Attempts)
        if attempts is not None:
            self._workings.reserver.give_back(attempts)

    def on_settle(self, completion: Completion) -> None:
        """Replace what was reserved by what was used."""
        reservation = completion.get(Reservation)
        workings = self._workings
        if reservation is None:
            if completion.verdict is Verdict.NONE and completion.ending in _UNTOLD and completion.request_id:
                # Whatever a worker has reserved for it, nothing went up.
                workings.witnesses.saw(completion.request_id)
            return
        found = actual(completion)
        if found.basis in (Basis.ESTIMATE, Basis.CHUNKS):
            self._counts["estimated"] += 1
        price = price_of(self._tariff, completion)
        call = completion.call
        if call is not None and call.model is not None and found.basis is Basis.METERED and reservation.estimated:
            workings.watch.learn(call.model, reservation.estimated, found.tokens.taken, found.tokens.made)
        used = in_units(found, workings.scale, price)
        dollars = used.dollars if price is not None else None
        told_price = source(found, price)
        completion.put(Charged(found.tokens, found.basis, found.requests, used.tokens, dollars, told_price))
        for tenant in reservation.tenants:
            workings.settler.put(Settlement(tenant, reservation.id, used))
        here = completion.get(CountedHere)
        for ask in here.asks if here is not None else ():
            workings.fallback.settle(ask.tenant, reservation.id, used)
            workings.settler.put(Settlement(ask.tenant, reservation.id, used, ask))

    # From a request to an outcome

    def _sized(self, exchange: Exchange, call: Call) -> _Sized:
        if not uses_tokens(call):
            return _Sized(None, Estimate(0), Size())
        sizer = self._workings.sizer
        known = sizer.known(exchange.get(Target), call.model or "")
        estimate = sizer.quick(call, _members(exchange), known)
        return _Sized(known, estimate, self._size(exchange, call, known, estimate))

    def _size(self, exchange: Exchange, call: Call, known: Known, estimate: Estimate) -> Size:
        learned = self._workings.watch.learned(call.model or "")
        identity, target = exchange.need(Identity), exchange.get(Target)
        price = None
        if target is not None and call.model is not None:
            price = self._tariff.price(target.upstream, call.model, identity.tenant, identity.tenant_name, self._clock())
        ceiling, members = exchange.get(OutputCeiling), _members(exchange)
        return self._workings.sizer.size(call, estimate, known, ceiling, learned, price=price, members=members)

    async def _decide(self, exchange: Exchange, tenant: str, plan: Plan, sized: _Sized) -> RequestOutcome:
        reserver = self._workings.reserver
        expected = self._expected(exchange)
        reserved = await reserver.reserve(Request(exchange, tenant, plan, sized.size, expected))
        if not reserved.admitted and reserved.stood and sized.known is not None and not sized.estimate.counted:
            # Bounded by its bytes it does not fit. Counted, it may.
            counted = await self._counted(exchange, sized.known)
            if counted.size.input < sized.size.input:
                sized = counted
                reserved = await reserver.reserve(Request(exchange, tenant, plan, sized.size, expected))
        self._workings.budgets.see(reserved)
        if reserved.admitted:
            self._counts["admitted"] += 1
            return self._admitted(exchange, sized, reserved)
        if exchange.explaining and not reserved.stood:
            exchange.note("the counters cannot be asked: %d limits are not judged", len(plan.limits) + len(plan.everyone))
            return CONTINUE
        self._counts["refused"] += 1
        return self._refused(exchange, sized, reserved)

    async def _counted(self, exchange: Exchange, known: Known) -> _Sized:
        """The size again, every text counted: in a thread, for it may take a while."""
        call, workings = exchange.need(Call), self._workings
        loop = asyncio.get_running_loop()
        estimate = await loop.run_in_executor(workings.counting, workings.sizer.exact, call, _members(exchange), known)
        return _Sized(known, estimate, self._size(exchange, call, known, estimate))

    def _expected(self, exchange: Exchange) -> Callable[[int], int]:
        learned = self._workings.watch.learned(exchange.need(Call).model or "")
        return learned.usual_output if learned is not None else _all

    def _refused(self, exchange: Exchange, sized: _Sized, reserved: Reserved) -> Reject:
        found = refusals.refusal(reserved.stood, sized.size.output, self._settings.min_output)
        if found is None:
            return refusals.unavailable(_RETRY_AFTER)
        now = self._clock()
        exchange.note("%s %s refuses", found.limit.subject, found.limit.rule.kind.name)
        for name, value in told.fields(reserved.stood, exchange.need(Call).dialect, now):
            exchange.tell(name, value)
        return refusals.reject(found, budget_status=self._settings.budget_status, now=now)

    def _admitted(self, exchange: Exchange, sized: _Sized, reserved: Reserved) -> RequestOutcome:
        size, output, stood = sized.size, reserved.output, reserved.stood
        tokens, dollars = charged(size, output, self._workings.scale)
        exchange.put(
            Reservation(
                reserved.id,
                reserved.tenants,
                size.input,
                sized.estimate.tokens if sized.estimate.counted and sized.estimate.visible else 0,
                output,
                size.choices,
                tokens,
                dollars,
            )
        )
        now = self._clock()
        if not self._shadow:
            for name, value in told.fields(stood, exchange.need(Call).dialect, now):
                exchange.tell(name, value)
        nearly = told.soft(stood)
        if nearly:
            self._counts["soft"] += 1
            exchange.flag("soft_limit")
            exchange.tell(told.WARNING, told.warning(nearly))
        if reserved.local:
            exchange.put(CountedHere(reserved.local))
            exchange.flag("limits_local")
        over = refusals.refusal(stood, size.output, self._settings.min_output)
        if over is not None:
            # Admitted all the same: in shadow.
            exchange.flag("limit_shadowed")
            exchange.note("%s %s would refuse", over.limit.subject, over.limit.rule.kind.name)
            if self._shadow:
                return refusals.reject(over, budget_status=self._settings.budget_status, now=now)
        return self._mutation(exchange, sized, output)

    def _mutation(self, exchange: Exchange, sized: _Sized, output: int) -> RequestOutcome:
        if sized.known is None or sized.size.output == 0:
            return CONTINUE
        if output < sized.size.output:
            self._counts["clamped"] += 1
            exchange.flag("output_clamped")
            exchange.note("output clamped to %d tokens", output)
        members = members_for(exchange.need(Call), _members(exchange), output, sized.known)
        return Mutate(members=members) if members else CONTINUE


def _members(exchange: Exchange) -> Mapping[str, Any]:
    payload = exchange.get(Payload)
    return payload.members if payload is not None else _NO_MEMBERS


def _all(ceiling: int) -> int:
    return ceiling


def _has_dollars(plan: Plan) -> bool:
    return any(limit.rule.kind.measure is Measure.DOLLARS for limit in (*plan.limits, *plan.everyone))
