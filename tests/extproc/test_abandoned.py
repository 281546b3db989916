"""An exchange that ends before its verdict is sent: every policy that was asked about the call is told, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.chain import Chain, Course, Link
from extproc.conversation import Conversation
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.outcome import CONTINUE, Mutate, Reject, RequestOutcome, Respond
from extproc.policy import FailureMode, Policy, RequestAnswer
from extproc.settings import IdentityHeaders
from extproc.tasks import spawn
from extproc.transport import ProtocolError
from extproc.travel import Travel
from tests.extproc.world import CATALOGUE, exchange
from tests.playbook import JSON, body, headers, request_trailers, response_body, response_headers

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": []}
NO = Reject(403, "no", "No.")


class Reserves(Policy):
    """Answers at once, or waits until it is let; keeps what it was told."""

    def __init__(
        self,
        name: str = "reserves",
        outcome: RequestOutcome = CONTINUE,
        *,
        waits: bool = False,
        error: BaseException | None = None,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.outcome, self.waits, self.error = outcome, waits, error
        self.told: list[str] = []
        self.go_on = asyncio.Event()
        self.ended = False

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        return self._wait() if self.waits else self.outcome

    def on_abandoned(self, exchange: Exchange) -> None:
        # Whatever was waited for has ended by now.
        assert self.ended == self.waits
        self.told.append(exchange.id)
        if self.error is not None:
            raise self.error

    async def _wait(self) -> RequestOutcome:
        try:
            await self.go_on.wait()
        finally:
            self.ended = True
        return self.outcome


class AtHeaders(Reserves):
    """Is not asked about the call."""

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        return CONTINUE

    on_request_body = Policy.on_request_body


class Quiet(Policy):
    """Reserves nothing, and is asked all the same."""

    name = "quiet"

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        return CONTINUE


def told(*policies: Reserves) -> str:
    """The names of those that were told, each as often as it was."""
    return "".join(policy.name * len(policy.told) for policy in policies)


async def judged(chain: Chain, course: Course) -> None:
    answer = chain.request_body(course)
    if isawaitable(answer):
        await answer


# The chain


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (Reserves("b"), "abc"),
        (Reserves("b", Mutate()), "abc"),
        (Reserves("b", NO), "ab"),
        (Reserves("b", Respond(b"{}")), "ab"),
        (AtHeaders("b"), "ac"),
    ],
)
async def test_who_was_asked_is_told(second: Reserves, expected: str) -> None:
    first, third = Reserves("a"), Reserves("c")
    chain, course = Chain([Link(first), Link(Quiet()), Link(second), Link(third)]), Course(exchange())
    chain.abandon(course)
    assert told(first, second, third) == ""
    await judged(chain, course)
    for _ in range(2):
        chain.abandon(course)
        assert told(first, second, third) == expected


@pytest.mark.parametrize("how", [{}, {"shadow": True}, {"failure": FailureMode.OPEN}])
async def test_one_that_is_waited_for_is_told_and_its_successors_are_not(how: dict[str, Any]) -> None:
    first, second, third = Reserves("a"), Reserves("b", waits=True), Reserves("c")
    chain, course = Chain([Link(first), Link(second, **how), Link(third)]), Course(exchange())
    task = spawn(judged(chain, course), name="judged")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    chain.abandon(course)
    assert told(first, second, third) == "ab"


@given(st.lists(st.sampled_from(["continue", "mutate", "reject"]), max_size=6))
def test_told_are_those_up_to_the_verdict(outcomes: list[str]) -> None:
    meant: dict[str, RequestOutcome] = {"continue": CONTINUE, "mutate": Mutate(), "reject": NO}
    policies = [Reserves(chr(97 + place), meant[word]) for place, word in enumerate(outcomes)]
    chain, course = Chain(map(Link, policies)), Course(exchange())
    chain.request_body(course)
    chain.abandon(course)
    asked = outcomes.index("reject") + 1 if "reject" in outcomes else len(outcomes)
    assert told(*policies) == "abcdef"[:asked]


@pytest.mark.parametrize("error", [RuntimeError("s3cret"), SystemExit(3), asyncio.CancelledError()])
async def test_one_that_fails_keeps_the_others_from_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Reserves("a", error=error), Reserves("b")
    chain, course = Chain([Link(first), Link(second)]), Course(exchange())
    await judged(chain, course)
    chain.abandon(course)
    assert told(first, second) == "ab"
    assert caplog.messages == ["policy a failed to let go of exchange ex-1"]


# The conversation


def conversation(*policies: Policy) -> Conversation:
    return Conversation(Gate(Chain(map(Link, policies)), CATALOGUE, IdentityHeaders()), Travel(), lambda: "exchange-1")


def say(talk: Conversation, message: Any) -> Any:
    return talk.receive(message.SerializeToString())


def test_nothing_is_abandoned_before_a_body_was_judged() -> None:
    policy = Reserves("a")
    talk = conversation(policy)
    talk.abandon()
    say(talk, headers("POST", CHAT, JSON))
    talk.abandon()
    assert policy.told == []


@pytest.mark.parametrize("outcome", [CONTINUE, NO, Respond(b"{}")])
@pytest.mark.parametrize("at_headers", [False, True], ids=["with a body", "without a body"])
def test_a_verdict_that_is_not_sent(outcome: RequestOutcome, at_headers: bool) -> None:
    policy = Reserves("a", outcome)
    talk = conversation(policy)
    if at_headers:
        say(talk, headers("GET", "/agents/kb/x", end=True))
    else:
        say(talk, headers("POST", CHAT, JSON))
        say(talk, body(PROMPT))
    for _ in range(2):
        talk.abandon()
        assert policy.told == ["exchange-1"]


@pytest.mark.parametrize("message", [response_headers(), response_body(b"x"), request_trailers()])
def test_what_comes_behind_a_verdict_says_that_it_was_sent(message: Any) -> None:
    policy = Reserves("a")
    talk = conversation(policy)
    say(talk, headers("POST", CHAT, JSON))
    say(talk, body(PROMPT))
    answer = say(talk, message)
    if isinstance(answer, Awaitable):
        asyncio.run(_given(answer))
    talk.abandon()
    assert policy.told == []


async def _given(answer: Awaitable[bytes]) -> None:
    await answer


@pytest.mark.parametrize(
    "nonsense", [headers("POST", CHAT).SerializeToString(), body(PROMPT).SerializeToString(), b"\xff"]
)
def test_nonsense_behind_a_verdict_does_not_take_it_back(nonsense: bytes) -> None:
    policy = Reserves("a")
    talk = conversation(policy)
    say(talk, headers("POST", CHAT, JSON))
    say(talk, body(PROMPT))
    with pytest.raises(ProtocolError):
        talk.receive(nonsense)
    talk.abandon()
    assert policy.told == []


class Unreadable(Policy):
    """Sets a member that cannot be written down: the gate fails behind it."""

    name = "unreadable"

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        return Mutate(members=(("x", object()),))


def test_a_fault_behind_the_policies() -> None:
    policy = Reserves("a")
    talk = conversation(policy, Unreadable())
    say(talk, headers("POST", CHAT, JSON))
    with pytest.raises(TypeError):
        say(talk, body(PROMPT))
    talk.abandon()
    assert policy.told == ["exchange-1"]
