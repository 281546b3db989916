"""However an exchange ends: when it is settled, every counter holds what was used, to the token and the micro-dollar."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

import httpx
import pytest

from extproc.completion import Completion, Ending
from extproc.embedded.ports import free_port
from extproc.exchange import Exchange
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, RequestOutcome
from extproc.policy import Policy, Surroundings
from extproc.reservation import Reservation
from policies.limits import LimitsPolicy
from policies.limits.limit import KINDS
from policies.limits.settings import LimitsSettings
from policies.limits.subjects import Level, Subject
from policies.limits.windows import Counter
from tests.ai_gateway import PROFILE
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway, settings
from tests.redis_servers import RedisServer
from tests.servers import HOST

pytestmark = pytest.mark.stack
TENANT = "contoso"
CHAT = "/v1/chat/completions"
EACH = ("requests_per_day", "tokens_per_day", "tokens_per_minute", "dollars_per_day", "parallel_requests")
MUCH = 1_000_000
PRICE: dict[str, str] = {"input": "2.5", "output": "10", "cached_input": "1.25"}
QUICK = {"idle": 1.0, "stream_idle": 1.0, "total": 3.0, "connect": 1.0}


class Named(Policy):
    """The caller is who the request says."""

    name = "named"
    provides = (Identity,)

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        user = exchange.request.headers.get("x-test-user") or "nobody"
        exchange.put(Identity(TENANT, user, "notebook", CallerKind.USER, tenant_name="Contoso"))
        return CONTINUE


class Later(Obedient):
    """Speaks after the limits have reserved."""

    name = "later"
    provides: ClassVar[tuple[type[Any], ...]] = ()  # type: ignore[assignment]

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        return CONTINUE


@dataclass(slots=True)
class Books:
    """A gateway with limits on everything, and none of them in the way."""

    gateway: Gateway
    store: RedisServer
    later: Later

    async def counter(self, kind: str, user: str = "") -> Counter:
        subject = Subject(TENANT, ((Level.USER, user),) if user else ())
        with self.store.client() as client:
            return Counter.read(client.hget(subject.key(), KINDS[kind].counter)) or Counter()

    async def settled(self, count: int) -> list[Completion]:
        """The completions, once there are so many and nothing is reserved any more."""
        found = await self.gateway.recorder.until(lambda all_: len(all_) >= count, 20)
        async with asyncio.timeout(20):
            with self.store.client() as client:
                while client.zcard(f"sg:{{{TENANT}}}:leases"):
                    await asyncio.sleep(0.02)
        return found

    async def post(
        self, user: str, path: str = CHAT, body: dict[str, Any] | None = None, **fields: str
    ) -> httpx.Response:
        headers = {"x-test-user": user, **{name.replace("_", "-"): value for name, value in fields.items()}}
        return await self.gateway.client.post(path, json=chat() if body is None else body, headers=headers)


def chat(**members: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Say something, please."}], **members}


@pytest.fixture
async def books(simulator: str, valkey: RedisServer, transport: str) -> AsyncIterator[Books]:
    models = [{"name": name, "price": dict(PRICE)} for name in (MODEL, "embed-small")]
    upstreams = [
        {"name": "openai", "provider": "openai", "url": f"{simulator}/v1", "models": models},
        {
            "name": "down",
            "provider": "openai",
            "url": f"http://{HOST}:{free_port()}/v1",
            "models": [{"name": "down", "price": dict(PRICE)}],
        },
    ]
    amounts = dict.fromkeys(EACH, MUCH)
    entries = [{"subject": subject, **amounts} for subject in ("user", "tenant")]
    configured = settings(simulator, upstreams=upstreams, opaque=[])
    policy = LimitsPolicy.build(
        LimitsSettings.model_validate({"redis": {"url": valkey.address, "timeout": 5.0}, "limits": entries}),
        Surroundings(configured.catalogue(), time.time),
    )
    later = Later()
    async with running_gateway(
        [Named(), policy, later],
        simulator=simulator,
        upstreams=upstreams,
        opaque=[],
        timeouts=QUICK,
        server={"transport": transport},
    ) as gateway:
        yield Books(gateway, valkey, later)


async def answered(books: Books, user: str) -> None:
    assert (await books.post(user, x_sim_tokens="30")).status_code == 200


async def streamed(books: Books, user: str) -> None:
    assert (await books.post(user, body=chat(stream=True), x_sim_tokens="30")).status_code == 200


async def cached_and_reasoned(books: Books, user: str) -> None:
    answer = await books.post(user, x_sim_cached_tokens="2", x_sim_reasoning_tokens="9", x_sim_tokens="7")
    assert answer.status_code == 200


async def embedded(books: Books, user: str) -> None:
    answer = await books.post(user, "/v1/embeddings", {"model": "embed-small", "input": ["one two", "three"]})
    assert answer.status_code == 200


async def upstream_failed(books: Books, user: str) -> None:
    assert (await books.post(user, x_sim_status="500")).status_code == 500


async def upstream_down(books: Books, user: str) -> None:
    assert (await books.post(user, body=chat() | {"model": "down"})).status_code == 503


async def rejected_later(books: Books, user: str) -> None:
    assert (await books.post(user, x_test_body="reject")).status_code == 429


async def failed_later(books: Books, user: str) -> None:
    assert (await books.post(user, x_test_body="raise")).status_code == 503


async def answered_later(books: Books, user: str) -> None:
    assert (await books.post(user, x_test_body="respond")).status_code == 200


async def without_usage(books: Books, user: str) -> None:
    assert (await books.post(user, x_sim_no_usage="1", body=chat(max_completion_tokens=20))).status_code == 200


async def cut_by_the_upstream(books: Books, user: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await books.post(user, body=chat(stream=True), x_sim_tokens="50", x_sim_cut_after="9")


async def left_in_the_middle(books: Books, user: str) -> None:
    headers = {"x-test-user": user, "x-sim-tokens": "200", "x-sim-chunk-delay-ms": "20"}
    client = books.gateway.client
    async with client.stream("POST", CHAT, json=chat(stream=True), headers=headers) as answer:
        count = 0
        async for line in answer.aiter_lines():
            count += line.startswith("data:")
            if count == 8:
                break


async def left_before_the_answer(books: Books, user: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        async with asyncio.timeout(5):
            await books.gateway.client.post(
                CHAT,
                json=chat(max_completion_tokens=20),
                headers={"x-test-user": user, "x-sim-latency-ms": "900"},
                timeout=0.4,
            )


async def left_before_the_verdict(books: Books, user: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await books.gateway.client.post(
            CHAT, json=chat(), headers={"x-test-user": user, "x-test-body": "30"}, timeout=0.4
        )


async def timed_out(books: Books, user: str) -> None:
    assert (await books.post(user, body=chat(max_completion_tokens=20), x_sim_hang="1")).status_code == 504


async def at_an_agent(books: Books, user: str) -> None:
    assert (await books.post(user, "/agents/kb/tasks", {"task": "anything"})).status_code == 200


METERED = (answered, streamed, cached_and_reasoned, embedded)
FREE = (upstream_failed, upstream_down, at_an_agent)
NEVER_WENT_UP = (rejected_later, failed_later, answered_later, left_before_the_verdict)
BY_CHUNKS = (cut_by_the_upstream, left_in_the_middle)
AT_THE_ESTIMATE = (without_usage, left_before_the_answer, timed_out)


def used(act: Callable[[Books, str], Awaitable[None]], completion: Completion) -> tuple[int, int, int]:
    """What must stand in the counters: requests, tokens, micro-dollars."""
    if act in NEVER_WENT_UP:
        return 0, 0, 0
    if act in FREE:
        return 1, 0, 0
    if act in METERED:
        usage = completion.usage
        assert usage is not None
        return 1, usage.total, dollars(usage.input - usage.cached_input, usage.cached_input, usage.output)
    reservation = completion.get(Reservation)
    assert reservation is not None
    by_chunks = act in BY_CHUNKS
    if PROFILE == "ai-gateway":
        # Its filter may hold every piece that came before the end: then all that was reserved counts.
        by_chunks = by_chunks and completion.output_floor > 0
    output = completion.output_floor if by_chunks else reservation.output
    assert output > 0
    return 1, reservation.input + output, dollars(reservation.input, 0, output)


def dollars(plain: int, cached: int, output: int) -> int:
    """Micro-dollars, by decimal fractions."""
    exact = plain * Decimal(PRICE["input"]) + cached * Decimal(PRICE["cached_input"]) + output * Decimal(PRICE["output"])
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


async def test_the_books_balance(books: Books) -> None:
    acts = (*METERED, *FREE, *NEVER_WENT_UP, *BY_CHUNKS, *AT_THE_ESTIMATE)
    await asyncio.gather(*(act(books, act.__name__) for act in acts for _ in range(2)))
    completions = await books.settled(2 * len(acts))
    totals = [0, 0, 0]
    for act in acts:
        mine = [one for one in completions if _user(one) == act.__name__]
        if act is left_before_the_verdict:
            # The access log knows nobody then.
            assert not mine
            expected = [(0, 0, 0)]
        else:
            assert len(mine) == 2, act.__name__
            expected = [used(act, one) for one in mine]
        requests, tokens, spent = (sum(column) for column in zip(*expected, strict=True))
        held = [(await books.counter(kind, act.__name__)).current for kind in EACH if kind != "tokens_per_minute"]
        assert held == [requests, tokens, spent, 0], act.__name__
        minute = await books.counter("tokens_per_minute", act.__name__)
        assert minute.current + minute.before == tokens, act.__name__
        totals = [total + more for total, more in zip(totals, (requests, tokens, spent), strict=True)]
    held = [(await books.counter(kind)).current for kind in EACH if kind != "tokens_per_minute"]
    assert held == [*totals, 0]
    assert {one.ending for one in completions} >= {Ending.CLIENT_GONE, Ending.UPSTREAM_CUT, Ending.TIMED_OUT}


def _user(completion: Completion) -> str:
    return completion.identity.user if completion.identity is not None else ""
