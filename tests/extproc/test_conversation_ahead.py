"""Headers that are answered before they are judged: whose, what comes of it, and how long policies may be waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extproc.chain import Chain, Link
from extproc.conversation import Conversation, State
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.outcome import CONTINUE, Reject, RequestOutcome
from extproc.policy import Policy, RequestAnswer
from extproc.settings import IdentityHeaders
from extproc.travel import Travel
from tests.extproc.world import CATALOGUE
from tests.playbook import JSON, Play, body, headers, tell

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
SMALL = ("content-length", "70")
GO_ON = "request_headers: go on"
REFUSED = "reject 403 not_you"


class Judges(Policy):
    """Judges headers, at once or after waiting, and keeps what it was asked."""

    name = "judges"

    def __init__(self, outcome: RequestOutcome = CONTINUE, *, waits: bool = False, fails: bool = False) -> None:
        self._outcome, self._waits, self._fails = outcome, waits, fails
        self.asked: list[str] = []

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        self.asked.append("headers")
        if self._fails:
            raise RuntimeError("cannot judge")
        return self._later() if self._waits else self._outcome

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        self.asked.append("body")
        return CONTINUE

    async def _later(self) -> RequestOutcome:
        await asyncio.sleep(0)
        return self._outcome


def conversation(policy: Policy) -> Conversation:
    gate = Gate(Chain([Link(policy)]), CATALOGUE, IdentityHeaders())
    return Conversation(gate, Travel(), lambda: "exchange-1")


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
async def test_the_body_is_asked_for_before_anybody_has_judged(waits: bool) -> None:
    policy = Judges(waits=waits)
    play = await tell(conversation(policy), [(headers("POST", CHAT, JSON, SMALL), GO_ON)])
    assert (policy.asked, play.waited) == ([], [False])
    assert (play.conversation.is_ahead, play.conversation.is_over, play.conversation.may_end) == (True, False, False)
    await play.thinks()
    assert (policy.asked, play.conversation.is_ahead) == (["headers"], False)
    (await play.envoy(body(PROMPT))).server("request_body: allow openai")
    assert policy.asked == ["headers", "body"]
    play.ends(State.ALLOWED, cleanly=True)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
async def test_a_refusal_comes_unasked(waits: bool) -> None:
    policy = Judges(Reject(403, "not_you", "No."), waits=waits)
    play = await tell(conversation(policy), [(headers("POST", CHAT, JSON, SMALL), GO_ON)])
    (await play.thinks()).server(REFUSED)
    play.ends(State.ANSWERED, cleanly=True)
    assert (policy.asked, play.conversation.is_over) == (["headers"], True)


async def test_a_policy_that_fails_refuses_unasked() -> None:
    play = await tell(conversation(Judges(fails=True)), [(headers("POST", CHAT, JSON, SMALL), GO_ON)])
    (await play.thinks()).server("reject 503 policy_failed")
    play.ends(State.ANSWERED, cleanly=True)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize(
    ("outcome", "line", "asked"),
    [
        (CONTINUE, "request_body: allow openai", ["headers", "body"]),
        (Reject(403, "not_you", "No."), REFUSED, ["headers"]),
    ],
    ids=["passes", "refused"],
)
async def test_no_body_is_judged_before_its_headers(
    outcome: RequestOutcome, line: str, asked: list[str], waits: bool
) -> None:
    policy = Judges(outcome, waits=waits)
    await tell(conversation(policy), [(headers("POST", CHAT, JSON, SMALL), GO_ON), (body(PROMPT), line)])
    assert policy.asked == asked


@pytest.mark.parametrize(
    ("line", "fields", "ends", "when"),
    [
        (f"POST {CHAT}", [("content-length", "1")], False, "later"),
        (f"POST {CHAT}", [("content-length", "99999")], False, "later"),
        ("POST /anthropic/v1/messages", [SMALL], False, "later"),
        ("POST /openai/deployments/d/chat/completions?api-version=2024-10-21", [SMALL], False, "later"),
        (f"POST /openai/deployments/{'d' * 128}/embeddings?api-version=2024-10-21", [SMALL], False, "later"),
        (f"POST {CHAT}", [("content-length", "100000")], False, "first"),
        (f"POST {CHAT}", [("content-length", "0")], False, "first"),
        (f"POST {CHAT}", [("content-length", "007")], False, "first"),
        (f"POST {CHAT}?x=1", [SMALL], False, "first"),
        (f"POST {CHAT}/", [SMALL], False, "never"),
        (f"PUT {CHAT}", [SMALL], False, "never"),
        (f"POST {CHAT}", [("content-length", "9" * 5000)], False, "first"),
        (f"POST {CHAT}", [], False, "first"),
        (f"POST {CHAT}", [("content-length", "")], False, "first"),
        (f"POST {CHAT}", [("content-length", "-1")], False, "first"),
        (f"POST {CHAT}", [("content-length", "+1")], False, "first"),
        (f"POST {CHAT}", [("content-length", "1_0")], False, "first"),
        (f"POST {CHAT}", [("content-length", "\u0661")], False, "first"),
        (f"POST {CHAT}", [("content-length", "5, 70000")], False, "first"),
        (f"POST {CHAT}", [SMALL], True, "first"),
        ("GET /v1/models", [SMALL], False, "first"),
        ("POST /agents/kb/ask", [SMALL], False, "first"),
        ("POST /v1/unheard-of", [SMALL], False, "never"),
    ],
)
async def test_whose_headers_are_answered_ahead(line: str, fields: list[Any], ends: bool, when: str) -> None:
    method, path = line.split(" ", 1)
    policy = Judges()
    talk = conversation(policy)
    play = await Play(talk).envoy(headers(method, path, JSON, *fields, end=ends))
    assert talk.is_ahead is (when == "later")
    assert ("headers" in policy.asked) is (when == "first")
    assert play.waited == [False]
