"""Every legal order of messages, and what must not be said. No gRPC and no Envoy: the state machine alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Call, Payload
from extproc.catalogue import Agent, Catalogue, Model, Opaque, Provider, Upstream
from extproc.chain import Chain, Link
from extproc.conversation import _HANDLERS, Conversation, State, read_request
from extproc.envoy_requests import RequestReader
from extproc.exchange import Chunk, Exchange, ResponseBody
from extproc.gate import Gate
from extproc.outcome import CONTINUE, Continue, Mutate, Reject, RequestOutcome, Respond
from extproc.policy import FailureMode, Policy, RequestAnswer, ResponseAnswer
from extproc.protos import ProcessingResponse
from extproc.settings import IdentityHeaders
from extproc.travel import Travel
from tests.playbook import (
    JSON,
    Play,
    body,
    headers,
    metadata,
    request_trailers,
    response_body,
    response_headers,
    response_trailers,
    set_fields,
    tell,
)

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
CATALOGUE = Catalogue(
    upstreams=(
        Upstream("openai", Provider.OPENAI, "/v1", models=(Model("gpt-4o"),)),
        Upstream("claude", Provider.ANTHROPIC, "", models=(Model("claude"),)),
    ),
    agents=(Agent("kb"),),
    opaque=(Opaque("files", "/v1/files", "openai"),),
)
NEXT_UP = "[request body BUFFERED, response body NONE response headers SEND]"
NO_BODY = "[request body NONE, response body NONE response headers SKIP]"


class Says(Policy):
    """Answers what it is told to, at once or after waiting."""

    name = "says"

    def __init__(self, *, on_headers: RequestOutcome = CONTINUE, on_body: RequestOutcome = CONTINUE, waits: bool = False):
        self._on_headers, self._on_body, self._waits = on_headers, on_body, waits

    def _answer(self, outcome: RequestOutcome) -> RequestAnswer:
        return _after(outcome) if self._waits else outcome

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        return self._answer(self._on_headers)

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        return self._answer(self._on_body)


async def _after(outcome: RequestOutcome) -> RequestOutcome:
    await asyncio.sleep(0)
    return outcome


class Reads(Policy):
    """Asks for the response, and writes it in capitals."""

    name = "reads"

    def __init__(self, wish: ResponseBody = ResponseBody.BUFFERED, *, fails: bool = False) -> None:
        self._wish, self._fails = wish, fails
        self.seen: list[Chunk] = []

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        exchange.want_response(self._wish)
        return CONTINUE

    def on_response_body(self, exchange: Exchange, chunk: Chunk) -> ResponseAnswer:
        if self._fails:
            raise RuntimeError("cannot read")
        self.seen.append(chunk)
        return Mutate(body=chunk.data.upper())


def conversation(*policies: Policy | Link) -> Conversation:
    links = [policy if isinstance(policy, Link) else Link(policy) for policy in policies]
    ids = (f"exchange-{number}" for number in count(1))
    return Conversation(Gate(Chain(links), CATALOGUE, IdentityHeaders()), Travel(), lambda: next(ids))


REJECT = Reject(403, "not_you", "No.")
RESPOND = Respond(b'{"cached":true}')


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize(
    ("policy", "lines", "state"),
    [
        pytest.param(
            {},
            [
                (headers("POST", CHAT, JSON), "request_headers: go on"),
                (body(PROMPT), "request_body: allow openai"),
            ],
            State.ALLOWED,
            id="headers, then body",
        ),
        pytest.param(
            {},
            [
                (headers("POST", CHAT, JSON), "request_headers: go on"),
                (body(PROMPT, end=False), "request_body: allow openai"),
                (request_trailers(), "request_trailers: go on"),
            ],
            State.ALLOWED,
            id="headers, body, trailers",
        ),
        pytest.param(
            {"on_headers": REJECT},
            [(headers("POST", CHAT, JSON), "reject 403 not_you")],
            State.ANSWERED,
            id="refused on the headers, the body is never asked for",
        ),
        pytest.param(
            {"on_body": REJECT},
            [(headers("POST", CHAT, JSON), "request_headers: go on"), (body(PROMPT), "reject 403 not_you")],
            State.ANSWERED,
            id="refused on the body",
        ),
        pytest.param(
            {"on_body": RESPOND},
            [(headers("POST", CHAT, JSON), "request_headers: go on"), (body(PROMPT), "respond 200 respond")],
            State.ANSWERED,
            id="answered by a policy",
        ),
        pytest.param(
            {},
            [(headers("POST", CHAT, JSON, end=True), "reject 400 empty_body")],
            State.ANSWERED,
            id="a body was expected, and the request ends with its headers",
        ),
        pytest.param(
            {"on_body": RESPOND},
            [(headers("GET", "/v1/models", end=True), "respond 200 respond")],
            State.ANSWERED,
            id="nothing to read: both hooks are asked on the headers",
        ),
        pytest.param(
            {},
            [(headers("GET", "/agents/kb/x", end=True), f"request_headers: allow kb {NO_BODY}")],
            State.ALLOWED,
            id="an agent, without a body",
        ),
        pytest.param(
            {},
            [(headers("POST", "/agents/kb/x"), f"request_headers: allow kb {NO_BODY}")],
            State.ALLOWED,
            id="an agent: its body streams past unseen",
        ),
        pytest.param(
            {},
            [(headers("POST", "/v1/files"), f"request_headers: allow openai {NO_BODY}")],
            State.ALLOWED,
            id="an opaque route: its body streams past unseen",
        ),
        pytest.param(
            {"on_body": REJECT},
            [(headers("POST", "/agents/kb/x"), "reject 403 not_you")],
            State.ANSWERED,
            id="an agent refused by the hook of the body, before any byte of it",
        ),
        pytest.param(
            {},
            [(headers("GET", "/nowhere"), "reject 404 unknown_endpoint")],
            State.ANSWERED,
            id="no such endpoint",
        ),
        pytest.param(
            {},
            [(headers("POST", CHAT, JSON), "request_headers: go on"), (body(b"{"), "reject 400 invalid_json")],
            State.ANSWERED,
            id="a body that is no JSON",
        ),
        pytest.param(
            {},
            [
                (headers("POST", CHAT, JSON), "request_headers: go on"),
                (body(PROMPT | {"model": "unheard-of"}), "reject 404 model_not_found"),
            ],
            State.ANSWERED,
            id="no upstream for the model",
        ),
        pytest.param(
            {},
            [
                (response_headers(401), "response_headers: go on"),
                (response_body(b"denied", end=True), "response_body: go on"),
                (response_trailers(), "response_trailers: go on"),
            ],
            State.BYSTANDER,
            id="the stream begins at the response: an earlier filter has answered",
        ),
        pytest.param(
            {"on_headers": REJECT},
            [
                (headers("POST", CHAT, JSON), "reject 403 not_you"),
                (response_headers(403), "response_headers: go on"),
                (response_body(b"{}", end=True), "response_body: go on"),
            ],
            State.ANSWERED,
            id="our own reply comes back through the response",
        ),
        pytest.param(
            {},
            [
                (headers("POST", CHAT, JSON), "request_headers: go on"),
                (response_headers(413), "response_headers: go on"),
                (response_body(b"too large", end=True), "response_body: go on"),
            ],
            State.AWAITING_BODY,
            id="Envoy gives up while it waits for the body",
        ),
    ],
)
async def test_plays(policy: dict[str, Any], lines: list[tuple[Any, str]], state: State, waits: bool) -> None:
    play = await tell(conversation(Says(waits=waits, **policy)), lines)
    play.ends(state, cleanly=state is not State.AWAITING_BODY)


async def test_what_answers_at_once_is_not_waited_for() -> None:
    with Play(conversation(Says())) as play:
        (await play.envoy(headers("POST", CHAT, JSON))).server("request_headers: go on")
        (await play.envoy(body(PROMPT))).server("request_body: allow openai")
    assert play.waited == [False, False]


@pytest.mark.parametrize(
    ("wish", "mode"),
    [(ResponseBody.STREAMED, "STREAMED"), (ResponseBody.BUFFERED, "BUFFERED"), (ResponseBody.NONE, "NONE")],
)
async def test_a_policy_that_asks_sees_the_response(wish: ResponseBody, mode: str) -> None:
    reader = Reads(wish)
    with Play(conversation(reader)) as play:
        (await play.envoy(headers("POST", CHAT, JSON))).server(f"request_headers: go on {NEXT_UP}")
        (await play.envoy(body(PROMPT))).server("request_body: allow openai")
        (await play.envoy(response_headers(200, ("content-length", "2")))).server(
            f"response_headers: go on [request body NONE, response body {mode} response headers SEND]"
        )
        removed = list(play.replies[-1].response_headers.response.header_mutation.remove_headers)
        assert removed == ([] if wish is ResponseBody.NONE else ["content-length"])
        if wish is not ResponseBody.NONE:
            (await play.envoy(response_body(b"ok", end=True))).server("response_body: go on body OK")
            assert reader.seen == [Chunk(b"ok", True)]
    play.ends(State.ALLOWED, cleanly=True)


async def test_a_response_policy_that_fails_closed_breaks_the_stream() -> None:
    play = await tell(
        conversation(Reads(fails=True)),
        [
            (headers("POST", CHAT, JSON), f"request_headers: go on {NEXT_UP}"),
            (body(PROMPT), "request_body: allow openai"),
            (
                response_headers(),
                "response_headers: go on [request body NONE, response body BUFFERED response headers SEND]",
            ),
        ],
    )
    reply = play.conversation.receive(response_body(b"secret", end=True).SerializeToString())
    assert isinstance(reply, Awaitable)
    with pytest.raises(RuntimeError):
        await reply


async def test_a_response_policy_that_fails_open_lets_the_bytes_pass() -> None:
    play = await tell(
        conversation(Link(Reads(fails=True), FailureMode.OPEN)),
        [
            (headers("POST", CHAT, JSON), f"request_headers: go on {NEXT_UP}"),
            (body(PROMPT), "request_body: allow openai"),
            (
                response_headers(),
                "response_headers: go on [request body NONE, response body BUFFERED response headers SEND]",
            ),
            (response_body(b"public", end=True), "response_body: go on"),
        ],
    )
    play.ends(State.ALLOWED, cleanly=True)


async def test_no_clean_end_before_the_verdict() -> None:
    play = Play(conversation(Says()))
    assert not play.conversation.may_end
    (await play.envoy(headers("POST", CHAT, JSON))).server("request_headers: go on")
    play.ends(State.AWAITING_BODY, cleanly=False)


MESSAGES = {
    "request_headers": headers("POST", CHAT, JSON),
    "request_body": body(PROMPT),
    "request_trailers": request_trailers(),
    "response_headers": response_headers(),
    "response_body": response_body(b""),
    "response_trailers": response_trailers(),
}
ROAD_TO = {
    State.OPENED: [],
    State.AWAITING_BODY: [(headers("POST", CHAT, JSON), "request_headers: go on")],
    State.ALLOWED: [(headers("POST", "/agents/kb/x"), f"request_headers: allow kb {NO_BODY}")],
    State.ANSWERED: [(headers("GET", "/nowhere"), "reject 404 unknown_endpoint")],
    State.BYSTANDER: [(response_headers(), "response_headers: go on")],
}


@pytest.mark.parametrize("state", list(State))
async def test_whatever_is_not_in_the_table_is_refused(state: State) -> None:
    for kind, message in MESSAGES.items():
        if (state, kind) not in _HANDLERS:
            play = await tell(conversation(Says()), ROAD_TO[state])
            assert play.conversation.state is state
            play.refuses(message)
    play = await tell(conversation(Says()), ROAD_TO[state])
    play.refuses(MESSAGES["request_headers"].__class__())


@given(st.lists(st.sampled_from(sorted(MESSAGES)), max_size=8))
def test_no_order_of_messages_ends_cleanly_without_a_verdict(kinds: list[str]) -> None:
    """Whatever Envoy says in whatever order: a clean end is open only behind a verdict, or where we were never asked."""
    talk = conversation(Says(on_body=REJECT))
    verdict = bystander = False
    for kind in kinds:
        try:
            reply = talk.receive(MESSAGES[kind].SerializeToString())
        except RuntimeError:
            break
        assert not isinstance(reply, Awaitable)
        bystander |= talk.state is State.BYSTANDER
        verdict |= bool(ProcessingResponse.FromString(reply).HasField("dynamic_metadata"))
    assert talk.may_end == (verdict or bystander)


@pytest.mark.parametrize(("policy", "mode", "over"), [(Says(), "", True), (Reads(), f" {NEXT_UP}", False)])
async def test_the_stream_outlives_the_verdict_only_for_who_may_read_the_response(
    policy: Policy, mode: str, over: bool
) -> None:
    with Play(conversation(policy)) as play:
        (await play.envoy(headers("POST", CHAT, JSON))).server(f"request_headers: go on{mode}")
        assert not play.conversation.is_over
        (await play.envoy(body(PROMPT))).server("request_body: allow openai")
        assert play.conversation.is_over is over


async def test_the_verdict_leaves_with_what_later_steps_must_know() -> None:
    streamed = PROMPT | {"stream": True}
    with Play(conversation(Says())) as play:
        (await play.envoy(headers("POST", CHAT, JSON))).server("request_headers: go on")
        (await play.envoy(body(streamed))).server("request_body: allow openai")
    said = metadata(play.replies[-1])
    facts = said.pop("facts")
    assert said == {
        "verdict": "allow",
        "exchange": "exchange-1",
        "operation": "chat",
        "model": "gpt-4o",
        "meter": "openai_chat",
        "stream": True,
        "hide_usage": True,
        "upstream": "openai",
    }
    assert facts["id"] == "exchange-1"
    assert facts["facts"]["Call"]["model"] == "gpt-4o"
    assert "hello" not in str(facts)


async def test_what_goes_up_is_what_was_judged() -> None:
    hidden = {**PROMPT, "stream": True, "stream_options": {"include_obfuscation": False}}
    fields = [JSON, ("authorization", "Bearer s3cret"), ("x-tenant-id", "evil"), ("x-sluicegate-upstream", "evil")]
    with Play(conversation(Says())) as play:
        (await play.envoy(headers("POST", CHAT, *fields))).server("request_headers: go on")
        (await play.envoy(body(hidden))).server("request_body: allow openai")
    common = play.replies[-1].request_body.response
    assert common.clear_route_cache
    assert list(common.header_mutation.remove_headers) == ["authorization", "x-sluicegate-upstream", "x-tenant-id"]
    sent = common.body_mutation.body
    assert b'"stream_options":{"include_obfuscation":false,"include_usage":true}' in sent
    assert set_fields(play.replies[-1]) == {
        "x-sluicegate-upstream": "openai",
        "x-sluicegate-stream": "1",
        "traceparent": "00-exchange-1-exchange-1-01",
        "content-length": str(len(sent)),
    }


async def test_refusals_speak_the_callers_dialect() -> None:
    for path, expected in (
        (CHAT, b'{"error":{"message":"No.","type":"permission_error","param":null,"code":"not_you"}}'),
        (
            "/v1/messages",
            b'{"type":"error","error":{"type":"permission_error","message":"No.","code":"not_you"},"request_id":"req-1"}',
        ),
    ):
        play = await tell(conversation(Says(on_headers=REJECT)), [(headers("POST", path, JSON), "reject 403 not_you")])
        reply = play.replies[-1].immediate_response
        assert reply.body == expected
        assert set_fields(play.replies[-1])["x-request-id"] == "req-1"


async def test_answers_carry_the_id_where_the_callers_sdk_looks_for_it() -> None:
    for path, fields in (("/v1/models", {"x-request-id"}), ("/anthropic/v1/models", {"x-request-id", "request-id"})):
        lines = [(headers("GET", path, end=True), "respond 200 respond")]
        play = await tell(conversation(Says(on_body=RESPOND)), lines)
        assert {name for name, value in set_fields(play.replies[-1]).items() if value == "req-1"} == fields


async def test_cancelling_the_answer_cancels_the_policy() -> None:
    ended = asyncio.Event()

    class Waits(Policy):
        name = "waits"

        def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
            return self._wait()

        async def _wait(self) -> Continue:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return CONTINUE

    talk = conversation(Waits())
    reply = talk.receive(headers("POST", CHAT, JSON).SerializeToString())
    assert isinstance(reply, Awaitable)
    waiting = asyncio.gather(reply)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    assert not talk.may_end


def test_values_that_are_no_text_do_not_pass_for_text() -> None:
    message = headers("GET", "/v1/models?x=1", ("x-odd", "\udcff\udcfe"))
    request = read_request(RequestReader().read(message.SerializeToString()).fields)
    assert (request.path, request.query) == ("/v1/models", "x=1")
    assert request.headers.get("x-odd") == "\udcff\udcfe"
    assert not any(name.startswith(":") for name, _ in request.headers)


async def test_a_body_that_has_been_judged_is_let_go() -> None:
    with Play(conversation(Reads())) as play:
        (await play.envoy(headers("POST", CHAT, JSON))).server(f"request_headers: go on {NEXT_UP}")
        (await play.envoy(body(PROMPT))).server("request_body: allow openai")
        exchange = play.conversation._known().exchange
        assert exchange.get(Call) is not None
        assert (exchange.body, exchange.get(Payload)) == (None, None)
