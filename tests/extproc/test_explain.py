"""What would become of a request, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extproc.chain import Chain, Link, Step
from extproc.exchange import Exchange
from extproc.explain import Explanation, explain
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Mutate, Reject, Respond
from extproc.policy import Policy
from extproc.settings import parse
from tests.extproc.world import request

SETTINGS = parse(
    {
        "upstreams": [
            {
                "name": "up",
                "provider": "openai",
                "url": "http://host/v1",
                "models": [{"name": "m", "target": "other"}, "plain"],
            }
        ],
        "agents": [{"name": "kb", "url": "http://host/base"}],
        "policies": [{"policy": "p"}],
    }
)
BODY = b'{"model":"m","messages":[]}'
HEADERS = (("content-type", "application/json"), ("authorization", "Bearer hunter2"), ("x-tenant-id", "evil"))


class Who(Policy):
    """Knows everybody."""

    name = "who"

    def on_request_headers(self, exchange: Exchange) -> Any:
        exchange.note("token of %s", "u1")
        exchange.put(Identity("t1", "u1", "a1", CallerKind.USER))
        return CONTINUE


class May(Policy):
    """Answers what it was made with, after a turn of the loop."""

    name = "may"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.abandoned: list[str] = []

    async def on_request_body(self, exchange: Exchange) -> Any:
        await asyncio.sleep(0)
        exchange.note("asked")
        return self.outcome

    def on_abandoned(self, exchange: Exchange) -> None:
        self.abandoned.append(exchange.id)


async def of(line: str, body: bytes | None, outcome: Any = CONTINUE) -> Explanation:
    method, _, path = line.partition(" ")
    chain = Chain([Link(Who()), Link(May(outcome))])
    return await explain(SETTINGS, chain, request(path, method, headers=HEADERS), body)


KNOWN = Step("who", "request_headers", "continue", "", ("token of u1",))


async def test_allowed() -> None:
    assert await of("POST /v1/chat/completions", BODY, Mutate(set_headers=(("x-a", "1"),))) == Explanation(
        "allow",
        (KNOWN, Step("may", "request_body", "mutate", "", ("asked",))),
        upstream="up",
        upstream_path="/v1/chat/completions",
        set_headers=(("x-a", "1"), ("x-sluicegate-upstream", "up"), ("x-sluicegate-stream", "0")),
        removed_headers=("authorization", "x-tenant-id"),
        body_changed=True,
    )


async def test_the_clients_own_body() -> None:
    assert (await of("POST /v1/chat/completions", b'{"model":"plain","messages":[]}')).body_changed is False


async def test_an_agent() -> None:
    told = await of("GET /agents/kb/x?y", None)
    assert (told.verdict, told.upstream, told.upstream_path) == ("allow", "kb", "/base/x?y")
    assert ("x-tenant-id", "t1") in told.set_headers


async def test_rejected_by_a_policy() -> None:
    assert await of("POST /v1/chat/completions", BODY, Reject(403, "no", "No.", why="because")) == Explanation(
        "reject",
        (KNOWN, Step("may", "request_body", "reject", "no", ("asked",))),
        status=403,
        code="no",
        message="No.",
        why="because",
    )


async def test_answered_by_the_gateway() -> None:
    told = await of("GET /v1/models", None, Respond(b"[]"))
    assert (told.verdict, told.status, told.steps[-1].outcome) == ("respond", 200, "respond")


@pytest.mark.parametrize(
    ("line", "body", "status", "code", "policies"),
    [
        ("POST /nope", None, 404, "unknown_endpoint", []),
        ("POST /v1/chat/completions", None, 400, "empty_body", ["who"]),
        ("POST /v1/chat/completions", b"[]", 400, "not_an_object", ["who"]),
        ("POST /v1/chat/completions", b'{"model":"x","messages":[]}', 404, "model_not_found", ["who", "may"]),
    ],
)
async def test_rejected_by_the_gateway_itself(
    line: str, body: bytes | None, status: int, code: str, policies: list[str]
) -> None:
    told = await of(line, body)
    assert (told.verdict, told.status, told.code) == ("reject", status, code)
    assert [step.policy for step in told.steps] == [*policies, "gateway"]
    assert told.steps[-1].code == code


async def test_no_token_is_told() -> None:
    assert "hunter2" not in str(await of("POST /v1/chat/completions", BODY))


@pytest.mark.parametrize("outcome", [CONTINUE, Mutate(), Reject(403, "no", "No."), Respond(b"{}")])
async def test_what_was_reserved_for_the_answer_can_be_given_back(outcome: Any) -> None:
    policy = May(outcome)
    chain = Chain([Link(Who()), Link(policy)])
    for _ in range(2):
        await explain(SETTINGS, chain, request("/v1/chat/completions", headers=HEADERS), BODY)
    # Once for each, and no two under one id.
    assert len(policy.abandoned) == len(set(policy.abandoned)) == 2
