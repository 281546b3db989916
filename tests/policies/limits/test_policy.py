"""The limits policy on a real store: what it answers to an exchange, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.call import Call, Endpoint, Operation, Payload
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.exchange import Dialect, Exchange, Headers, Request
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Mutate, Reject, RequestOutcome
from extproc.policy import Surroundings
from extproc.price import Portions, Price
from extproc.reservation import Reservation
from extproc.tariff import Contract, Terms
from extproc.tasks import waits
from policies.limits import LimitsPolicy
from policies.limits.settings import LimitsSettings
from tests.redis_servers import RedisServer

PRICED = Model("gpt-4o", price=Price(2_500_000, 10_000_000, 1_250_000, 2_500_000), max_output=1_000)
CATALOGUE = Catalogue(upstreams=(Upstream("main", Provider.OPENAI, models=(PRICED, Model("free-*"))),))
Built = Callable[..., AbstractAsyncContextManager[LimitsPolicy]]


@pytest.fixture
def built(valkey: RedisServer) -> Built:
    """Makes a started policy of these limits."""

    @contextlib.asynccontextmanager
    async def make(*limits: dict[str, Any], shadow: bool = False, **settings: Any) -> AsyncIterator[LimitsPolicy]:
        given = {"redis": {"url": valkey.address, "timeout": 5.0}, "limits": list(limits), **settings}
        surroundings = Surroundings(CATALOGUE, time.time, shadow=shadow)
        policy = LimitsPolicy.build(LimitsSettings.model_validate(given), surroundings)
        await policy.start()
        try:
            async with asyncio.timeout(10):
                while policy.readiness() is not None:
                    await asyncio.sleep(0.01)
            yield policy
        finally:
            await policy.stop()

    return make


TIERED = Price.per_million(
    input=Decimal(1),
    output=Decimal(4),
    tiers={"priority": Price(2_000_000, 8_000_000, 0, 0, source="configured/priority")},
)
CONTRACT = Contract(
    "contoso", Price(1_000_000, 1_000_000, 0, 0, source="contract:contoso"), ("agreed",), tenant="contoso"
)
FALLBACK = Price(20_000_000, 20_000_000, 0, 0, source="fallback")


@pytest.mark.parametrize(
    ("model", "tier", "reserved", "charged", "price"),
    [
        # Per token of output in whole dollars a million: the dearest that can be, then what it was.
        ("tiered", None, 8, 4, "configured"),
        ("tiered", "default", 4, 4, "configured"),
        ("tiered", "priority", 8, 8, "configured/priority"),
        ("agreed", None, 1, 1, "contract:contoso"),
        ("other", None, 20, 20, "fallback"),
    ],
)
async def test_dollars_are_reserved_at_the_dearest_and_settled_at_the_price_that_was(
    valkey: RedisServer, model: str, tier: str | None, reserved: int, charged: int, price: str
) -> None:
    models = (Model("tiered", price=TIERED), Model("*"))
    catalogue = Catalogue((Upstream("main", Provider.OPENAI, models=models),), terms=Terms((CONTRACT,), None, FALLBACK))
    given = {"redis": {"url": valkey.address, "timeout": 5.0}, "limits": [{"subject": "user", "dollars_per_day": 1_000}]}
    policy = LimitsPolicy.build(LimitsSettings.model_validate(given), Surroundings(catalogue, time.time))
    await policy.start()
    exchange = asked(model, max_output=1_000, members={"service_tier": tier} if tier is not None else {})
    await outcome(policy, exchange)
    reservation = exchange.need(Reservation)
    assert reservation.dollars is not None
    # Input beside it: less than 20 tokens.
    assert 1_000 * reserved < reservation.dollars < 1_000 * reserved + 20 * 20
    completion = ended(exchange, Usage(output=500, tier=tier or ""))
    policy.on_settle(completion)
    assert completion.get(Charged) == Charged(Portions(output=500), Basis.METERED, 1, 500, 500 * charged, price)
    await policy.stop()


_numbers = iter(range(10_000))


def asked(
    model: str = "gpt-4o",
    dialect: Dialect = Dialect.OPENAI,
    prompt: str = "Say it.",
    members: dict[str, Any] | None = None,
    **call: Any,
) -> Exchange:
    """An exchange of alice's as it comes to the policy."""
    name = f"e{next(_numbers)}"
    exchange = Exchange(name, Request("POST", "/v1/chat/completions", "", "gw", "https", Headers(()), f"q-{name}"))
    exchange.put(Identity("t1", "alice", "app", CallerKind.USER, tenant_name="contoso"))
    exchange.put(Endpoint(Operation.CHAT, dialect, has_payload=True))
    exchange.put(Call(Operation.CHAT, dialect, model, **call))
    if model != "nobody":
        exchange.put(Target("main", "/v1/chat/completions", Provider.OPENAI, model))
    exchange.put(Payload({"model": model, "messages": [{"role": "user", "content": prompt}], **(members or {})}))
    return exchange


async def outcome(policy: LimitsPolicy, exchange: Exchange) -> RequestOutcome:
    answer = policy.on_request_body(exchange)
    return await answer if waits(answer) else answer


async def test_an_exchange_passes_with_its_output_held_and_its_rates_told(built: Built) -> None:
    async with built({"subject": "user", "requests_per_minute": 5, "tokens_per_day": 500}) as policy:
        exchange = asked()
        passed = await outcome(policy, exchange)
        reservation = exchange.get(Reservation)
        assert reservation is not None
        assert reservation.input + reservation.output == 500
        assert passed == Mutate(members=(("max_completion_tokens", reservation.output),))
        told = exchange.told or {}
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("5", "4")
        assert exchange.marks == ("soft_limit", "output_clamped")
        assert "tokens_per_day 100%" in told["x-sluicegate-limit-warning"]
        assert policy.counters()["clamped"] == 1


async def test_anthropics_callers_are_told_in_their_own_fields(built: Built) -> None:
    async with built({"subject": "user", "requests_per_minute": 5}) as policy:
        exchange = asked(dialect=Dialect.ANTHROPIC)
        await outcome(policy, exchange)
        assert (exchange.told or {})["anthropic-ratelimit-requests-remaining"] == "4"


async def test_where_no_limit_bears_nothing_is_asked(built: Built) -> None:
    async with built({"subject": "department", "requests_per_minute": 5}) as policy:
        assert policy.on_request_body(asked()) is CONTINUE


async def test_a_model_that_nobody_serves_is_left_to_the_gateway(built: Built) -> None:
    async with built({"subject": "user", "requests_per_minute": 0}) as policy:
        assert policy.on_request_body(asked("nobody")) is CONTINUE


async def test_budgets_of_dollars_need_a_price_for_every_model_that_is_named(built: Built) -> None:
    with pytest.raises(ValueError, match=r"main/free-\*"):
        async with built({"subject": "user", "dollars_per_day": 1}):
            pass


@pytest.mark.parametrize("status", [429, 403])
async def test_a_budget_that_is_used_up(built: Built, status: int) -> None:
    async with built({"subject": "user", "requests_per_day": 1}, budget_status=status) as policy:
        first = asked()
        await outcome(policy, first)
        refused = await outcome(policy, asked())
        assert isinstance(refused, Reject)
        assert (refused.status, refused.code) == (status, "budget_exceeded")
        # The first is still under way, and may cost nothing.
        assert refused.retry_after == 1
        assert not refused.stop_retrying


async def test_a_long_prompt_is_counted_before_it_is_refused(built: Built) -> None:
    async with built({"subject": "user", "tokens_per_day": 6_000}) as policy:
        exchange = asked(prompt="word " * 4_000, max_output=100)
        assert not isinstance(await outcome(policy, exchange), Reject)
        reservation = exchange.get(Reservation)
        assert reservation is not None
        assert (reservation.id, 4_000 < reservation.input < 4_100) == (f"{exchange.id}.1", True)
        refused = await outcome(policy, asked(prompt="word " * 8_000, max_output=100))
        assert isinstance(refused, Reject)
        assert refused.code == "request_exceeds_limit"


async def test_in_shadow_everything_is_counted_and_nothing_refused(built: Built) -> None:
    async with built({"subject": "user", "requests_per_day": 1}, shadow=True) as policy:
        await outcome(policy, asked())
        over = asked()
        said = await outcome(policy, over)
        assert isinstance(said, Reject)
        assert over.marks == ("limit_shadowed",)
        assert over.get(Reservation) is not None


async def test_an_abandoned_exchange_costs_nothing(built: Built) -> None:
    async with built({"subject": "user", "parallel_requests": 1}) as policy:
        first = asked()
        await outcome(policy, first)
        assert isinstance(await outcome(policy, asked()), Reject)
        policy.on_abandoned(first)
        async with asyncio.timeout(5):
            while isinstance(await outcome(policy, asked()), Reject):
                await asyncio.sleep(0.01)


def ended(exchange: Exchange, usage: Usage | None, ending: Ending = Ending.ANSWERED, **more: Any) -> Completion:
    """How an exchange ended that this policy let pass, with all that travels."""
    return Completion(
        *(exchange.id, exchange.request.request_id, "POST", "/v1/chat/completions", 200, Verdict.ALLOW, ending),
        *(EndedBy.UPSTREAM, datetime.now(UTC), 1.0, None, 10, 10, usage),
        facts=by_type(exchange.facts()),
        **more,
    )


@pytest.mark.parametrize("model", ["gpt-4o", "free-1"])
async def test_what_is_charged_is_told_to_who_settles_after_it(built: Built, model: str) -> None:
    weights = {"output": 4.0, "cached_input": 0.5}
    async with built({"subject": "user", "tokens_per_day": 50_000}, weights=weights) as policy:
        exchange = asked(model)
        await outcome(policy, exchange)
        completion = ended(exchange, Usage(input=90, output=30, total=120, cached_input=40, reasoning=10))
        policy.on_settle(completion)
        # Micro-dollars: 50 of input at 2.50 a million, 40 cached at 1.25, 30 of output at 10.
        dollars = 125 + 50 + 300 if model == "gpt-4o" else None
        tokens = Portions(50, 40, 0, 30, 10)
        price = "configured" if model == "gpt-4o" else ""
        assert completion.get(Charged) == Charged(tokens, Basis.METERED, 1, 50 + 20 + 80 + 10, dollars, price)


async def test_an_exchange_of_whose_use_nothing_is_known_is_charged_what_was_reserved(built: Built) -> None:
    async with built({"subject": "user", "tokens_per_day": 50_000}) as policy:
        exchange = asked(max_output=100)
        await outcome(policy, exchange)
        completion = ended(exchange, None)
        policy.on_settle(completion)
        reservation, charged = exchange.need(Reservation), completion.get(Charged)
        assert charged is not None
        assert (charged.basis, charged.requests) == (Basis.ESTIMATE, 1)
        # As it would be if nothing had been heard of its end.
        assert (charged.weighted, charged.dollars) == (reservation.tokens, reservation.dollars)
        assert reservation.tokens == reservation.input + reservation.output > 100


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.NONE, Verdict.RESPOND])
async def test_what_did_not_go_up_is_charged_nothing(built: Built, verdict: Verdict) -> None:
    async with built({"subject": "user", "tokens_per_day": 50_000}) as policy:
        exchange = asked()
        await outcome(policy, exchange)
        completion = replace(ended(exchange, None), verdict=verdict)
        policy.on_settle(completion)
        assert completion.get(Charged) == Charged(Portions(), Basis.NOTHING, 0, 0, 0)


async def test_without_a_reservation_nothing_is_said_of_a_charge(built: Built) -> None:
    async with built() as policy:
        completion = ended(asked(), Usage(5, 6))
        policy.on_settle(completion)
        assert completion.get(Charged) is None
