"""The limits policy: reserve before anything goes up, settle after the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from extproc.call import Call, OutputCeiling, Payload
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Verdict
from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.outcome import CONTINUE, Mutate, Reject, RequestOutcome
from extproc.policy import Policy, RequestAnswer, Surroundings
from extproc.price import Portions, cost
from policies.limits import refusals, told
from policies.limits.actuals import Basis, actual
from policies.limits.demands import Scale, Size, demands, within_rates
from policies.limits.limit import Measure
from policies.limits.plan import Caller, Plan
from policies.limits.reservation import Reservation
from policies.limits.settings import LimitsSettings
from policies.limits.settling import Settlement
from policies.limits.sizing import Known, members_for, uses_tokens
from policies.limits.store import Ask, Demand, Used
from policies.limits.subjects import EVERYONE
from policies.limits.tokens.estimate import Estimate
from policies.limits.told import Stood
from policies.limits.workings import Workings

_NO_MEMBERS: Final[Mapping[str, Any]] = {}
_UNTOLD: Final = frozenset({Ending.CLIENT_GONE, Ending.TIMED_OUT, Ending.REFUSED})
"""How an exchange may end whose verdict never arrived."""
_RETRY_AFTER: Final = 1.0
_COUNTED: Final = frozenset({"rate_limit_exceeded", "budget_exceeded", "request_exceeds_limit"})
"""Refusals that a smaller estimate may turn round."""


class _Request(msgspec.Struct):
    """One exchange on its way to a reservation."""

    exchange: Exchange
    call: Call
    caller: Caller
    plan: Plan
    known: Known | None
    estimate: Estimate
    size: Size


class Reserved(msgspec.Struct, frozen=True):
    """Where something is reserved: under these tenants' limits in the store, and by this worker alone."""

    tenants: tuple[str, ...]
    local: tuple[Ask, ...]


class LimitsPolicy(Policy):
    """Requests, tokens and dollars for every subject at once. Stands last among the policies that can refuse."""

    name = "limits"
    Settings = LimitsSettings
    requires = (Identity,)
    provides = (Reservation,)
    response_fields = told.FIELDS

    def __init__(self, settings: LimitsSettings, surroundings: Surroundings, workings: Workings) -> None:
        self._settings = settings
        self._shadow = surroundings.shadow
        self._clock = surroundings.clock
        self._lease = settings.lease or surroundings.longest
        self._scale = Scale.of(settings.weights)
        self._workings = workings
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

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        """Reserve what the exchange can use, on every level or on none."""
        call = exchange.need(Call)
        caller = self._caller(exchange)
        plan = self._workings.plans.plan(caller)
        if not plan.limits and not plan.everyone:
            return CONTINUE
        self._workings.watch.see(caller.tenant, caller.tenant_name)
        request = self._sized(exchange, call, caller, plan)
        if request.size.price is None and uses_tokens(call) and _has_dollars(plan):
            return refusals.unpriced()
        return self._decide(request)

    def on_abandoned(self, exchange: Exchange) -> None:
        """The exchange ended before its verdict was sent: nothing goes up, and what may be reserved is given back."""
        if exchange.get(Identity) is None or exchange.get(Call) is None:
            return
        caller = self._caller(exchange)
        plan = self._workings.plans.plan(caller)
        if plan.limits:
            self._give_back(caller.tenant, exchange.id)
        if plan.everyone:
            self._give_back(EVERYONE, exchange.id)

    def on_settle(self, completion: Completion) -> None:
        """Replace what was reserved by what was used."""
        reservation = completion.get(Reservation)
        workings = self._workings
        if reservation is None:
            if completion.verdict is Verdict.NONE and completion.ending in _UNTOLD and completion.request_id:
                # Whatever a worker has reserved for it, nothing went up.
                workings.watch.witness(completion.request_id)
            return
        found = actual(completion, reservation)
        if found.basis in (Basis.ESTIMATE, Basis.CHUNKS):
            self._counts["estimated"] += 1
        target = completion.get(Target)
        call = completion.call
        price = None
        if target is not None and call is not None and call.model is not None:
            known = workings.sizer.known(target, call.model)
            price = known.model.price if known.model is not None else None
            if found.basis is Basis.METERED:
                tokens = found.tokens
                taken = tokens.input + tokens.cached_input + tokens.cache_write
                if reservation.estimated:
                    workings.watch.learn(call.model, reservation.estimated, taken, tokens.output)
        used = found.used(self._scale, price)
        for tenant in reservation.tenants:
            workings.settler.put(Settlement(tenant, completion.id, used))
        for ask in reservation.local:
            workings.fallback.settle(ask.tenant, completion.id, used)
            workings.settler.put(Settlement(ask.tenant, completion.id, used, ask))

    # From a request to an outcome

    def _sized(self, exchange: Exchange, call: Call, caller: Caller, plan: Plan) -> _Request:
        if not uses_tokens(call):
            return _Request(exchange, call, caller, plan, None, Estimate(0), Size())
        sizer = self._workings.sizer
        known = sizer.known(exchange.get(Target), call.model or "")
        payload = exchange.get(Payload)
        members = payload.members if payload is not None else _NO_MEMBERS
        estimate = sizer.quick(call, members, known)
        return _Request(exchange, call, caller, plan, known, estimate, self._size(exchange, call, known, estimate))

    def _size(self, exchange: Exchange, call: Call, known: Known, estimate: Estimate) -> Size:
        learned = self._workings.watch.learned(call.model or "")
        return self._workings.sizer.size(call, estimate, known, exchange.get(OutputCeiling), learned)

    async def _decide(self, request: _Request) -> RequestOutcome:
        outcome = await self._attempt(request)
        if isinstance(outcome, Reject) and outcome.code in _COUNTED and not request.estimate.counted and request.known:
            # Bounded by its bytes it does not fit. Counted, it may.
            estimate = await self._counted(request)
            if estimate.tokens < request.estimate.tokens:
                request.estimate = estimate
                request.size = self._size(request.exchange, request.call, request.known, estimate)
                outcome = await self._attempt(request)
        self._counts["refused" if isinstance(outcome, Reject) else "admitted"] += 1
        return outcome

    async def _counted(self, request: _Request) -> Estimate:
        members = request.exchange.need(Payload).members
        known = request.known
        assert known is not None  # noqa: S101  (asked only of calls that use tokens)
        return await asyncio.get_running_loop().run_in_executor(
            self._workings.counting, self._workings.sizer.exact, request.call, members, known
        )

    async def _attempt(self, request: _Request) -> RequestOutcome:
        """Reserve under the tenant's limits, then under those of all tenants together."""
        size, plan = request.size, request.plan
        both = (
            (request.caller.tenant, plan.limits, demands(plan.limits, size, self._scale)),
            (EVERYONE, plan.everyone, demands(plan.everyone, size, self._scale)),
        )
        output = within_rates((*both[0][2], *both[1][2]), size.output, self._settings.min_output)
        reserved: list[str] = []
        local: list[Ask] = []
        stood: list[Stood] = []
        for tenant, limits, asked in both:
            if not limits:
                continue
            ask = self._ask(request, tenant, asked, output)
            said = await self._workings.guarded.reserve(limits, ask)
            answer = said.answer
            if answer is not None:
                stood += map(Stood, limits, asked, answer.standings)
            if answer is None or not answer.admitted:
                if said.local:
                    # The store may have done it all the same.
                    reserved.append(tenant)
                for one in reserved:
                    self._give_back(one, ask.id)
                return self._refused(request, stood)
            output = answer.output
            if said.local:
                local.append(msgspec.structs.replace(ask, force=True, at=int(self._clock() * 1000), output=output))
            else:
                reserved.append(tenant)
        return self._admitted(request, output, stood, Reserved(tuple(reserved), tuple(local)))

    def _ask(self, request: _Request, tenant: str, asked: tuple[Demand, ...], output: int) -> Ask:
        expected = output
        if any(demand.expected for demand in asked):
            learned = self._workings.watch.learned(request.call.model or "")
            expected = learned.usual_output(output) if learned is not None else output
        now = self._clock()
        return Ask(
            request.exchange.id,
            tenant,
            asked,
            self._lease,
            self._workings.zone(now),
            request.exchange.request.request_id,
            output,
            expected,
            self._settings.min_output,
        )

    def _refused(self, request: _Request, stood: Sequence[Stood]) -> Reject:
        found = refusals.refusal(stood, request.size.output, self._settings.min_output)
        if found is None:
            return refusals.unavailable(_RETRY_AFTER)
        exchange, now = request.exchange, self._clock()
        exchange.note("%s %s refuses", found.limit.subject, found.limit.kind.name)
        for name, value in told.fields(stood, request.call.dialect, now):
            exchange.tell(name, value)
        return refusals.reject(found, budget_status=self._settings.budget_status, now=now)

    def _admitted(self, request: _Request, output: int, stood: Sequence[Stood], reserved: Reserved) -> RequestOutcome:
        exchange, call, size = request.exchange, request.call, request.size
        price = size.price
        whole = Portions(size.input, output=output * size.choices)
        exchange.put(
            Reservation(
                reserved.tenants,
                size.input,
                request.estimate.tokens if request.estimate.counted else 0,
                output,
                size.choices,
                cost(whole, price) if price is not None else None,
                reserved.local,
            )
        )
        now = self._clock()
        for name, value in told.fields(stood, call.dialect, now):
            exchange.tell(name, value)
        nearly = told.soft(stood)
        if nearly:
            self._counts["soft"] += 1
            exchange.flag("soft_limit")
            exchange.tell(told.WARNING, told.warning(nearly))
        if reserved.local:
            exchange.flag("limits_local")
        over = refusals.refusal(stood, size.output, self._settings.min_output)
        if over is not None:
            # Admitted all the same: in shadow.
            exchange.flag("limit_shadowed")
            exchange.note("%s %s would refuse", over.limit.subject, over.limit.kind.name)
            if self._shadow:
                return refusals.reject(over, budget_status=self._settings.budget_status, now=now)
        return self._mutation(request, output)

    def _mutation(self, request: _Request, output: int) -> RequestOutcome:
        payload = request.exchange.get(Payload)
        if request.known is None or payload is None or request.size.output == 0:
            return CONTINUE
        if output < request.size.output:
            self._counts["clamped"] += 1
            request.exchange.flag("output_clamped")
            request.exchange.note("output clamped to %d tokens", output)
        members = members_for(request.call, payload.members, output, request.known)
        return Mutate(members=members) if members else CONTINUE

    def _give_back(self, tenant: str, reservation: str) -> None:
        self._workings.settler.put(Settlement(tenant, reservation, Used()))

    def _caller(self, exchange: Exchange) -> Caller:
        session = exchange.request.headers.get(self._settings.session_header) or ""
        return Caller.of(exchange.need(Identity), exchange.need(Call), session)


def _has_dollars(plan: Plan) -> bool:
    return any(limit.kind.measure is Measure.DOLLARS for limit in (*plan.limits, *plan.everyone))
