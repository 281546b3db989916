"""What the gate does otherwise in front of Envoy AI Gateway, and what it does behind it, where it should not be."""

from __future__ import annotations

import json
from inspect import isawaitable
from typing import Any

import pytest

from extproc.ai_gateway.behind import LACKS
from extproc.ai_gateway.gates import AIGatewayGate, gate_of
from extproc.call import OutputCeiling
from extproc.chain import Chain, Course, Link
from extproc.exchange import Chunk, Exchange
from extproc.gate import Gate, Judgement, Passage
from extproc.mistakes import ConfigurationError
from extproc.outcome import Mutate, Reject
from extproc.policy import Policy, ResponseAnswer
from extproc.settings import IdentityHeaders, parse
from tests.extproc.test_gate import CHAT, IDENTITY, JSON, Test, knows, says
from tests.extproc.world import CATALOGUE, request

UPSTREAMS = [{"name": "up", "provider": "openai", "url": "http://up.example/v1", "models": ["m"]}]
NAMED = (
    ("x-ai-eg-model", "gpt-4o"),
    ("x-ai-eg-internal-req-id", "req-1-64a2f0ff-27d5-4ff8-8bf1-1fc151c61641"),
)
MESSAGES = b'{"model": "claude-sonnet", "max_tokens": 9, "messages": []}'


def new_gate(*policies: Policy) -> AIGatewayGate:
    return AIGatewayGate(Chain([Link(policy) for policy in policies]), CATALOGUE, IdentityHeaders())


async def judge(
    path: str, body: bytes = CHAT, *policies: Policy, headers: tuple[tuple[str, str], ...] = (), gate: Gate | None = None
) -> Judgement:
    course = Course(Exchange("ex-1", request(path, headers=(JSON, *headers))))
    gate = gate or new_gate(*policies)
    answer = gate.headers(course)
    judgement = await answer if isawaitable(answer) else answer
    if judgement is None:
        last = gate.body(course, body)
        judgement = await last if isawaitable(last) else last
    return judgement


async def passage(*args: Any, **more: Any) -> Passage:
    judgement = await judge(*args, **more)
    assert isinstance(judgement, Passage), judgement
    return judgement


def named(model: str) -> bytes:
    return json.dumps({"model": model, "messages": []}).encode()


@pytest.mark.parametrize(
    ("path", "body", "upstream", "asked"),
    [
        ("/v1/chat/completions", CHAT, "openai", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", CHAT, "openai", "/v1/chat/completions"),
        (
            "/openai/deployments/prod/chat/completions?api-version=2024-10-21",
            *(b'{"messages": []}', "azure", "/v1/chat/completions"),
        ),
        ("/v1/chat/completions", named("v1-4o"), "azure-v1", "/v1/chat/completions"),
        ("/v1/embeddings?x=1", b'{"model": "gpt-4o", "input": "a"}', "openai", "/v1/embeddings"),
        ("/v1/responses", b'{"model": "gpt-4o", "input": "a"}', "openai", "/v1/responses"),
        ("/v1/completions", b'{"model": "gpt-4o", "prompt": "a"}', "openai", "/v1/completions"),
        ("/v1/messages", MESSAGES, "anthropic", "/anthropic/v1/messages"),
        ("/anthropic/v1/messages", MESSAGES, "anthropic", "/anthropic/v1/messages"),
        ("/v1/messages/count_tokens", MESSAGES, "anthropic", "/anthropic/v1/messages/count_tokens"),
    ],
)
async def test_a_call_goes_by_ai_gateways_path(path: str, body: bytes, upstream: str, asked: str) -> None:
    judged = await passage(path, body)
    assert (judged.target.upstream, judged.target.path) == (upstream, asked)
    sets = dict(judged.set_headers)
    assert sets["x-sluicegate-upstream"] == upstream
    assert sets.get(":path", path) == asked


@pytest.mark.parametrize(
    ("path", "model"),
    [("/v1/completions", "prod"), ("/openai/deployments/alias/completions?api-version=2024-10-21", None)],
)
async def test_a_pair_that_ai_gateway_does_not_translate_is_nobodys(path: str, model: str | None) -> None:
    body = json.dumps({"prompt": "a"} | ({"model": model} if model else {})).encode()
    judged = await judge(path, body)
    assert isinstance(judged, Reject)
    assert (judged.status, judged.code) == (404, "model_not_found")
    in_plain = Gate(Chain([]), CATALOGUE, IdentityHeaders())
    assert isinstance(await judge(path, body, gate=in_plain), Passage)


async def test_azure_without_a_date_serves_completions() -> None:
    judged = await passage("/v1/completions", b'{"model": "v1-4o", "prompt": "a"}')
    assert (judged.target.upstream, judged.target.path) == ("azure-v1", "/v1/completions")


async def test_the_body_names_the_deployment_that_the_path_named() -> None:
    judged = await passage("/openai/deployments/alias/chat/completions?api-version=2024-10-21", b'{"messages": []}')
    assert json.loads(judged.body or b"") == {"messages": [], "model": "dep-1"}


async def test_agents_and_opaque_routes_keep_their_paths() -> None:
    assert (await passage("/agents/kb/ask?q=1")).target.path == "/base/ask?q=1"
    assert (await passage("/v1/files")).target.path == "/v1/files"


async def test_ai_gateway_is_always_told_who_calls() -> None:
    """A plain upstream is only where it is to be told."""
    sets = dict((await passage("/v1/chat/completions", CHAT, knows(IDENTITY))).set_headers)
    assert (sets["x-tenant-id"], sets["x-user-id"], sets["x-user-roles"]) == ("t1", "u1", "User")
    quiet = await passage("/agents/quiet/", CHAT, knows(IDENTITY))
    assert "x-tenant-id" not in dict(quiet.set_headers)


async def test_what_a_client_says_of_who_calls_is_taken_away() -> None:
    judged = await passage("/v1/chat/completions", headers=(("x-tenant-id", "lie"), ("x-ai-eg-model", "lie")))
    assert judged.remove_headers == ("x-ai-eg-model", "x-tenant-id")


async def test_in_front_bodies_are_changed_and_nothing_is_wrong() -> None:
    gate = new_gate(knows(OutputCeiling(7)))
    judged = await passage("/v1/chat/completions", CHAT, gate=gate, headers=(("x-ai-eg-internal-req-id", "lie"),))
    assert json.loads(judged.body or b"")["max_completion_tokens"] == 7
    assert gate.lacking() is None


@pytest.mark.parametrize("stream", [False, True])
async def test_behind_a_body_is_left_as_it_is_and_it_says_so(stream: bool) -> None:
    """The usage chunk of a stream is AI Gateway's own wish too."""
    gate = new_gate()
    body = json.dumps({"model": "gpt-4o", "messages": [], "stream": stream}).encode()
    judged = await passage("/v1/chat/completions", body, gate=gate, headers=(*NAMED, ("x-api-key", "k")))
    assert judged.body is None
    # AI Gateway needs its own again, after us.
    assert judged.remove_headers == ("x-api-key",)
    assert gate.lacking() == LACKS


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        (CHAT, knows(OutputCeiling(7))),
        (named("fast"), Test()),
        (CHAT, says(Mutate(members=(("temperature", 0),)))),
    ],
    ids=["a ceiling", "another model", "a policy's change"],
)
async def test_behind_what_must_change_is_refused(body: bytes, policy: Policy) -> None:
    judged = await judge("/v1/chat/completions", body, policy, headers=NAMED)
    assert isinstance(judged, Reject)
    assert (judged.status, judged.code) == (503, "gateway_misplaced")


class Reading(Policy):
    """Reads answers."""

    name = "reading"

    def on_response_body(self, exchange: Exchange, chunk: Chunk) -> ResponseAnswer:
        raise AssertionError


def test_the_profile_chooses_once() -> None:
    tree = {"upstreams": UPSTREAMS, "policies": [{"policy": "entra"}]}
    assert type(gate_of(parse(tree), Chain([Link(Reading())]))) is Gate
    behind = parse({**tree, "server": {"profile": "ai-gateway"}})
    assert type(gate_of(behind, Chain([]))) is AIGatewayGate


def test_nobody_reads_answers_there() -> None:
    settings = parse({"upstreams": UPSTREAMS, "policies": [{"policy": "entra"}], "server": {"profile": "ai-gateway"}})
    with pytest.raises(ConfigurationError, match="policies: reading reads answers"):
        gate_of(settings, Chain([Link(Test()), Link(Reading())]))
