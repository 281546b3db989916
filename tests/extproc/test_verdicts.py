"""The verdict is told before it is sent: once for each exchange that gets one, and who refuses then is obeyed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import pytest

from extproc.chain import Chain, Course, Link
from extproc.completion import Decision
from extproc.conversation import Conversation, State
from extproc.exchange import Exchange
from extproc.explain import explain
from extproc.gate import Gate
from extproc.outcome import CONTINUE, Reject, RequestOutcome, Respond
from extproc.policy import FailureMode, Policy, RequestAnswer
from extproc.reservation import Reservation
from extproc.settings import IdentityHeaders, parse
from extproc.tasks import spawn, waits
from extproc.travel import Travel
from tests.extproc.world import CATALOGUE, exchange, request
from tests.playbook import JSON, Play, body, headers, metadata, response_headers, tell

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": []}
NO, YES = Reject(403, "not_you", "No."), Respond(b"{}")
UNRECORDED = Reject(503, "audit_unavailable", "Not now.", retry_after=1.0, why="the disk is full")
RESERVED = Reservation("r1", ("contoso",), 7)
Heard = tuple[str | None, tuple[str, ...]]


class Hears(Policy):
    """Keeps what it was told, and answers what it was made with: at once, or after a turn of the event loop."""

    def __init__(self, answer: Any = None, *, later: bool = False, name: str = "hears") -> None:
        self.name = name  # type: ignore[misc]
        self.answer, self.later = answer, later
        self.heard: list[Heard] = []

    def on_verdict(self, exchange: Exchange, outcome: Reject | Respond | None, decisions: Sequence[Decision]) -> Any:
        code = outcome.code if isinstance(outcome, Reject) else "respond" if outcome else None
        self.heard.append((code, tuple(f"{one.policy} {one.code or one.outcome}" for one in decisions)))
        return self._later() if self.later else self._said()

    async def _later(self) -> Any:
        await asyncio.sleep(0)
        return self._said()

    def _said(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Says(Policy):
    """Reserves something, and answers what it was made with."""

    name = "says"
    provides = (Reservation,)

    def __init__(self, *, at_headers: RequestOutcome = CONTINUE, at_body: RequestOutcome = CONTINUE) -> None:
        self._at_headers, self._at_body = at_headers, at_body
        self.abandoned = 0

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        return self._at_headers

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        exchange.put(RESERVED)
        return self._at_body

    def on_abandoned(self, exchange: Exchange) -> None:
        self.abandoned += 1


def conversation(*links: Policy | Link, timeout: float = 5.0) -> Conversation:
    chain = Chain([one if isinstance(one, Link) else Link(one) for one in links], timeout=timeout)
    ids = (f"exchange-{number}" for number in count(1))
    return Conversation(Gate(chain, CATALOGUE, IdentityHeaders()), Travel([Reservation]), lambda: next(ids))


ASKED = (headers("POST", CHAT, JSON), "request_headers: go on")


# Once for each, whoever has decided


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize(
    ("says", "lines", "heard"),
    [
        pytest.param({}, [ASKED, (body(PROMPT), "request_body: allow openai")], (None, ()), id="allowed"),
        pytest.param(
            {"at_body": NO},
            [ASKED, (body(PROMPT), "reject 403 not_you")],
            ("not_you", ("says not_you",)),
            id="refused by a policy",
        ),
        pytest.param(
            {"at_headers": NO},
            [(headers("POST", CHAT, JSON), "reject 403 not_you")],
            ("not_you", ("says not_you",)),
            id="refused on the headers",
        ),
        pytest.param(
            {"at_body": YES},
            [ASKED, (body(PROMPT), "respond 200 respond")],
            ("respond", ("says respond",)),
            id="answered by a policy",
        ),
        pytest.param(
            {},
            [(headers("GET", "/nowhere"), "reject 404 unknown_endpoint")],
            ("unknown_endpoint", ("gateway unknown_endpoint",)),
            id="an endpoint that is not there, before any policy is asked",
        ),
        pytest.param(
            {},
            [ASKED, (body(b"{"), "reject 400 invalid_json")],
            ("invalid_json", ("gateway invalid_json",)),
            id="a body that is no JSON",
        ),
        pytest.param(
            {},
            [ASKED, (body(PROMPT | {"model": "unheard-of"}), "reject 404 model_not_found")],
            ("model_not_found", ("gateway model_not_found",)),
            id="a model that nobody serves, after all were asked",
        ),
        pytest.param(
            {},
            [(headers("POST", CHAT, JSON, end=True), "reject 400 empty_body")],
            ("empty_body", ("gateway empty_body",)),
            id="no body",
        ),
    ],
)
async def test_it_is_told_once(later: bool, says: dict[str, Any], lines: list[Any], heard: Heard) -> None:
    policy = Hears(later=later)
    play = await tell(conversation(Says(**says), policy), lines)
    assert policy.heard == [heard]
    # Only the verdict waits.
    assert play.waited == [later and place == len(lines) - 1 for place in range(len(lines))]


async def test_what_comes_behind_a_verdict_is_none() -> None:
    policy = Hears()
    talk = conversation(policy)
    await tell(talk, [ASKED, (body(PROMPT), "request_body: allow openai")])
    talk.receive(response_headers().SerializeToString())
    talk.abandon()
    assert policy.heard == [(None, ())]


async def test_a_stream_that_begins_at_the_response_has_no_verdict() -> None:
    policy = Hears()
    conversation(policy).receive(response_headers(413).SerializeToString())
    assert policy.heard == []


class Slow(Policy):
    """Waits."""

    name = "slow"

    async def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        await asyncio.sleep(0.002)
        return CONTINUE


async def test_who_hears_the_verdict_knows_how_long_each_policy_took() -> None:
    heard: list[dict[str, int]] = []

    class Looks(Hears):
        def on_verdict(self, exchange: Exchange, outcome: Any, decisions: Sequence[Decision]) -> Any:
            heard.append(dict(exchange.timings))
            return None

    for last in (Looks(), Says()):
        chain = Chain([Link(Slow()), Link(last)])
        of = exchange()
        course = Course(of)
        asked = chain.request_headers(course)
        assert waits(asked)
        assert await asked is None
        assert chain.request_body(course) is None
        assert chain.decided(course, None) is None
        # Waiting counts as well. Where nobody listens nothing is kept.
        assert list(of.timings) == (["slow", "hears"] if isinstance(last, Looks) else [])
    assert [list(one) for one in heard] == [["slow"]]
    assert heard[0]["slow"] >= 2_000_000


def test_where_nobody_listens_nobody_is_asked() -> None:
    assert not Chain([Link(Says())]).hears_verdicts
    assert Chain([Link(Says()), Link(Hears())]).hears_verdicts


# Who refuses now


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize("outcome", [CONTINUE, YES], ids=["what would pass", "what would be answered"])
async def test_who_refuses_is_obeyed(outcome: RequestOutcome, later: bool) -> None:
    policy, says = Hears(UNRECORDED, later=later, name="audit"), Says(at_body=outcome)
    talk = conversation(says, policy)
    play = await tell(talk, [ASKED, (body(PROMPT), "reject 503 audit_unavailable")])
    Play(talk).ends(State.ANSWERED, cleanly=True)
    reply = play.replies[-1]
    assert json.loads(reply.immediate_response.body)["error"]["code"] == "audit_unavailable"
    # Settlement learns what was reserved, and by whom it was refused.
    facts = metadata(reply)["facts"]
    assert facts["facts"]["Reservation"] == json.loads(msgspec.json.encode(RESERVED))
    expected = {"policy": "audit", "outcome": "reject", "code": "audit_unavailable", "why": "the disk is full"}
    assert {name: facts["decisions"][-1][name] for name in expected} == expected
    assert metadata(reply)["verdict"] == "reject"
    # What was reserved is let go of at once: settlement would give it back as well, and may never hear of it.
    assert says.abandoned == 1


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after waiting"])
async def test_what_is_refused_stays_refused_for_the_reason_that_was_given(later: bool) -> None:
    policy = Hears(UNRECORDED, later=later)
    play = await tell(conversation(Says(at_body=NO), policy), [ASKED, (body(PROMPT), "reject 403 not_you")])
    assert [one["policy"] for one in metadata(play.replies[-1])["facts"]["decisions"]] == ["says"]
    policy = Hears(UNRECORDED, later=later)
    await tell(conversation(policy), [(headers("GET", "/nowhere"), "reject 404 unknown_endpoint")])


@pytest.mark.parametrize("mask", range(8))
async def test_the_next_hears_what_it_is_by_then(mask: int) -> None:
    policies = [
        Hears(answer, later=bool(mask & 1 << place), name=name)
        for place, (name, answer) in enumerate([("a", None), ("b", UNRECORDED), ("c", NO)])
    ]
    await tell(conversation(*policies), [ASKED, (body(PROMPT), "reject 503 audit_unavailable")])
    heard = [policy.heard for policy in policies]
    assert heard == [[(None, ())], [(None, ())], [("audit_unavailable", ("b audit_unavailable",))]]


async def test_in_shadow_a_refusal_is_recorded_and_not_obeyed() -> None:
    first, second = Hears(UNRECORDED, name="audit"), Hears()
    talk = conversation(Link(first, shadow=True), second)
    play = await tell(talk, [ASKED, (body(PROMPT), "request_body: allow openai")])
    assert second.heard == [(None, ("audit audit_unavailable",))]
    [decision] = metadata(play.replies[-1])["facts"]["decisions"]
    assert (decision["code"], decision["enforced"]) == ("audit_unavailable", False)


# Who fails


async def final(policy: Policy, outcome: Reject | Respond | None = None, **how: Any) -> tuple[Any, list[Decision]]:
    """What the verdict is once this policy has been told it."""
    chain, course = Chain([Link(policy, **how)], timeout=0.02), Course(exchange())
    answer = chain.decided(course, outcome)
    return await answer if waits(answer) else answer, course.decisions


class PanicError(BaseException):
    """What native extensions raise when they panic is no `Exception`."""


FAILURES: list[Any] = [RuntimeError("s3cret"), PanicError("s3cret"), SystemExit(3), CONTINUE, YES, "yes", True]


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize("answer", FAILURES, ids=str)
async def test_a_failure_refuses(answer: Any, later: bool) -> None:
    """Also an answer that is none: a verdict cannot be told to continue."""
    kind = type(answer).__name__ if isinstance(answer, BaseException) else "TypeError"
    for outcome in (None, YES):
        found, decisions = await final(Hears(answer, later=later), outcome)
        assert isinstance(found, Reject)
        assert (found.status, found.code, found.why) == (503, "policy_failed", f"hears: {kind}")
        assert decisions == [
            Decision("hears", "failed", "policy_failed", kind),
            Decision("hears", "reject", "policy_failed", f"hears: {kind}"),
        ]
        assert "s3cret" not in f"{found}{decisions}"
    found, decisions = await final(Hears(answer, later=later), NO)
    assert found is NO
    assert [one.outcome for one in decisions] == ["failed"]


@pytest.mark.parametrize("later", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize("answer", FAILURES, ids=str)
@pytest.mark.parametrize("how", [{"failure": FailureMode.OPEN}, {"shadow": True}], ids=["open", "shadow"])
async def test_a_failure_that_is_let_pass(answer: Any, later: bool, how: dict[str, Any]) -> None:
    for outcome in (None, YES, NO):
        found, decisions = await final(Hears(answer, later=later), outcome, **how)
        assert found is outcome
        assert [(one.outcome, one.enforced) for one in decisions] == [("failed", False)]


class Hangs(Hears):
    """Does not come to an end by itself."""

    async def _later(self) -> Any:
        await asyncio.Event().wait()


async def test_one_that_takes_too_long() -> None:
    found, decisions = await final(Hangs(later=True))
    assert isinstance(found, Reject)
    assert (found.status, found.code, found.why) == (503, "decision_timeout", "hears: TimeoutError")
    assert [one.outcome for one in decisions] == ["failed", "reject"]
    assert await final(Hangs(later=True), YES, failure=FailureMode.OPEN) == (
        YES,
        [Decision("hears", "failed", "policy_failed", "TimeoutError", enforced=False)],
    )


async def test_time_that_the_policies_took_is_not_taken_from_it() -> None:
    class Slow(Policy):
        name = "slow"

        async def on_request_body(self, exchange: Exchange) -> RequestOutcome:
            await asyncio.Event().wait()
            return CONTINUE

    policy = Hears(later=True)
    talk = conversation(Link(Slow(), FailureMode.OPEN), policy, timeout=0.05)
    await tell(talk, [ASKED, (body(PROMPT), "request_body: allow openai")])
    assert policy.heard == [(None, ("slow policy_failed",))]


# Not sent after all; and not to be sent at all


async def test_an_exchange_that_ends_meanwhile_is_abandoned() -> None:
    says, policy = Says(), Hangs(later=True)
    talk = conversation(says, policy)
    talk.receive(headers("POST", CHAT, JSON).SerializeToString())
    answer: Any = talk.receive(body(PROMPT).SerializeToString())

    async def given() -> None:
        await answer

    task = spawn(given(), name="given")
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    talk.abandon()
    assert (says.abandoned, policy.heard, talk.state) == (1, [(None, ())], State.AWAITING_BODY)


@pytest.mark.parametrize("path", [CHAT, "/nowhere"])
async def test_an_operators_question_gets_no_verdict(path: str) -> None:
    settings = parse(
        {
            "upstreams": [{"name": "up", "provider": "openai", "url": "http://host/v1", "models": ["gpt-4o"]}],
            "policies": [{"policy": "p"}],
        }
    )
    policy = Hears(UNRECORDED)
    told = await explain(settings, Chain([Link(Says()), Link(policy)]), request(path), json.dumps(PROMPT).encode())
    assert told.verdict == ("allow" if path == CHAT else "reject")
    assert policy.heard == []
