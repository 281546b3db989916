"""From a request to a verdict, with policies small enough to be read at a glance."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import pytest

from extproc.call import Call, Operation, OutputCeiling, Payload
from extproc.catalogue import Provider, Target
from extproc.chain import Chain, Course, Link
from extproc.completion import Decision
from extproc.exchange import Dialect, Exchange
from extproc.gate import Gate, Judgement, Passage, then
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Mutate, Reject, Respond
from extproc.policy import Policy
from extproc.settings import IdentityHeaders
from tests.extproc.world import CATALOGUE, request

JSON = ("content-type", "application/json")
CHAT = b'{"model": "gpt-4o", "messages": [], "x": 1.0}'
IDENTITY = Identity("t1", "u1", "a1", CallerKind.USER, roles=frozenset({"User"}), department="R\u00fcst")


class Test(Policy):
    """Answers by functions of the exchange; both None is no objection."""

    __test__ = False
    name = "test"

    def __init__(
        self, at_headers: Callable[[Exchange], Any] | None = None, at_body: Callable[[Exchange], Any] | None = None
    ) -> None:
        self.at_headers = at_headers
        self.at_body = at_body

    def on_request_headers(self, exchange: Exchange) -> Any:
        return self.at_headers(exchange) if self.at_headers else CONTINUE

    def on_request_body(self, exchange: Exchange) -> Any:
        return self.at_body(exchange) if self.at_body else CONTINUE


def knows(*facts: object) -> Test:
    """A policy that puts facts when the headers are known."""

    def put(exchange: Exchange) -> Any:
        for fact in facts:
            exchange.put(fact)
        return CONTINUE

    return Test(put)


def says(outcome: Any) -> Test:
    return Test(None, lambda _: outcome)


async def judge(
    line: str, body: bytes | None = CHAT, *policies: Policy, headers: tuple[tuple[str, str], ...] = (JSON,)
) -> tuple[Judgement, Course]:
    """The judgement on a request; `body` None means that there is none to be read."""
    method, _, path = line.partition(" ")
    course = Course(Exchange("ex-1", request(path, method, headers=headers)))
    gate = Gate(Chain([Link(policy) for policy in policies]), CATALOGUE, IdentityHeaders())
    answer = gate.headers(course)
    judgement = await answer if isawaitable(answer) else answer
    if judgement is None:
        assert body is not None, "the body is asked for"
        last = gate.body(course, body)
        judgement = await last if isawaitable(last) else last
    return judgement, course


async def passage(*args: Any, **more: Any) -> Passage:
    judgement, _ = await judge(*args, **more)
    assert isinstance(judgement, Passage), judgement
    return judgement


async def refusal(*args: Any, **more: Any) -> tuple[int, str]:
    judgement, _ = await judge(*args, **more)
    assert isinstance(judgement, Reject), judgement
    return judgement.status, judgement.code


async def test_the_clients_own_bytes_go_up() -> None:
    assert await passage("POST /v1/chat/completions") == Passage(
        Target("openai", "/v1/chat/completions", Provider.OPENAI, "gpt-4o"),
        (("x-sluicegate-upstream", "openai"), ("x-sluicegate-stream", "0"), ("traceparent", "00-ex-1-ex-1-01")),
        (),
        None,
    )


async def test_the_clients_trace_goes_on() -> None:
    began = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    judged = await passage("POST /v1/chat/completions", headers=(JSON, began))
    assert ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-ex-1-01") in judged.set_headers


async def test_what_policies_find() -> None:
    seen: list[object] = []

    def look(exchange: Exchange) -> Any:
        seen.extend([exchange.body, exchange.need(Call), exchange.need(Payload).members, exchange.need(Target).upstream])
        return CONTINUE

    await judge("POST /v1/chat/completions", CHAT, Test(None, look))
    assert seen == [CHAT, Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o"), json.loads(CHAT), "openai"]


async def test_unread_bodies_are_not_asked_for() -> None:
    seen: list[object] = []

    def look(exchange: Exchange) -> Any:
        seen.extend([exchange.body, exchange.get(Payload), exchange.need(Call).operation])
        return CONTINUE

    judged = await passage("PUT /agents/kb/x", None, Test(None, look))
    assert judged.target == Target("kb", "/base/x")
    assert judged.body is None
    assert seen == [None, None, Operation.AGENT]


# What is known first is said first


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("POST /v1/unknown", (404, "unknown_endpoint")),
        ("POST /v1/chat/completions?a b", (400, "invalid_query")),
        ("GET /agents/nobody/", (404, "unknown_endpoint")),
    ],
)
async def test_lines_that_are_refused_before_the_chain(line: str, expected: tuple[int, str]) -> None:
    judgement, course = await judge(line, None, Test(lambda _: Reject(401, "anonymous", "Who?")))
    assert isinstance(judgement, Reject)
    assert (judgement.status, judgement.code) == expected
    assert [(one.policy, one.code) for one in course.decisions] == [("gateway", expected[1])]


async def test_the_anonymous_learn_nothing_of_their_body() -> None:
    anonymous = Test(lambda _: Reject(401, "anonymous", "Who?"))
    assert await refusal("POST /v1/chat/completions", None, anonymous, headers=()) == (401, "anonymous")


UNKNOWN = b'{"model":"unknown","messages":[]}'


async def test_only_who_may_ask_learns_that_there_is_no_such_model() -> None:
    assert await refusal("POST /v1/chat/completions", UNKNOWN) == (404, "model_not_found")
    forbidden = says(Reject(403, "model_not_allowed", "No."))
    assert await refusal("POST /v1/chat/completions", UNKNOWN, forbidden) == (403, "model_not_allowed")
    assert await refusal("POST /v1/chat/completions", CHAT, forbidden) == (403, "model_not_allowed")


async def test_the_list_of_models_is_a_policys() -> None:
    assert await refusal("GET /v1/models", None) == (404, "unknown_endpoint")
    assert await refusal("GET /v1/models/gpt-4o", None) == (404, "model_not_found")
    listing = Respond(b"[]")
    assert (await judge("GET /v1/models", None, says(listing)))[0] is listing


async def test_a_refusal_names_its_member_and_is_recorded() -> None:
    judgement, course = await judge("POST /v1/chat/completions", b'{"model":"gpt-4o","messages":[],"stream":"yes"}')
    assert isinstance(judgement, Reject)
    assert (judgement.status, judgement.code, judgement.param) == (400, "invalid_request", "stream")
    assert course.decisions == [Decision("gateway", "reject", "invalid_request")]


async def test_a_path_in_raw_bytes_can_be_written_down() -> None:
    _, course = await judge("GET /\udcff\udcfe", None)
    assert course.decisions == [Decision("gateway", "reject", "unknown_endpoint", "GET /\\udcff\\udcfe")]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "empty_body"), (b"[]", "not_an_object"), (b'{"a":1,"a":2}', "duplicate_key"), (b"\xff\xfe", "not_utf8")],
)
async def test_bodies_that_are_refused(body: bytes, code: str) -> None:
    assert await refusal("POST /v1/chat/completions", body) == (400, code)


# Media types

TYPES: list[tuple[list[str], str | None]] = [
    (["application/json"], None),
    (["APPLICATION/JSON"], None),
    (["application/json;charset=utf-8"], None),
    (["application/json; charset=UTF-8"], None),
    (['application/json; charset="utf-8"'], None),
    (["application/json ; charset=utf8"], None),
    (["application/json; profile=x"], None),
    (["application/json;"], None),
    ([], "unsupported_media_type"),
    ([""], "unsupported_media_type"),
    (["text/plain"], "unsupported_media_type"),
    (["application/jsonx"], "unsupported_media_type"),
    (["application/json+x"], "unsupported_media_type"),
    (["application/x-www-form-urlencoded"], "unsupported_media_type"),
    (["multipart/form-data; boundary=x"], "unsupported_media_type"),
    (["application/json, text/plain"], "unsupported_media_type"),
    (["text/plain, application/json"], "unsupported_media_type"),
    (["application/json", "application/json"], "unsupported_media_type"),
    (["application/json", "text/plain"], "unsupported_media_type"),
    (["application/json; charset=utf-16"], "unsupported_charset"),
    (["application/json; charset=utf-7"], "unsupported_charset"),
    (["application/json; charset = utf-7"], "unsupported_charset"),
    (["application/json; charset= utf-7"], "unsupported_charset"),
    (["application/json; charset =utf-8"], "unsupported_charset"),
    (["application/json; CHARSET=latin-1"], "unsupported_charset"),
    (["application/json; charset=utf-8; charset=utf-16"], "unsupported_charset"),
    (["application/json; charset=utf-16; charset=utf-8"], "unsupported_charset"),
    (["application/json; charset*=utf-7''x"], "unsupported_charset"),
    (["application/json; charset*0=utf-7"], "unsupported_charset"),
    (['application/json; x="; charset=utf-7"'], "unsupported_charset"),
    (["application/json; charset='utf-8'"], "unsupported_charset"),
    (["application/json; charset"], "unsupported_charset"),
    (["application/json; charset="], "unsupported_charset"),
]


@pytest.mark.parametrize(("values", "code"), TYPES, ids=str)
async def test_media_types(values: list[str], code: str | None) -> None:
    headers = tuple(("content-type", value) for value in values)
    if code is None:
        assert (await passage("POST /v1/chat/completions", headers=headers)).body is None
    else:
        assert await refusal("POST /v1/chat/completions", headers=headers) == (415, code)


@pytest.mark.parametrize(
    ("values", "passes"),
    [
        (["identity"], True),
        (["identity", "identity"], True),
        (["gzip"], False),
        (["identity", "gzip"], False),
        (["gzip", "identity"], False),
        (["identity, gzip"], False),
        (["br"], False),
        (["zstd"], False),
        (["x"], False),
        ([""], False),
    ],
)
async def test_content_encodings(values: list[str], passes: bool) -> None:
    headers = (JSON, *(("content-encoding", value) for value in values))
    if passes:
        assert (await passage("POST /v1/chat/completions", headers=headers)).body is None
    else:
        expected = (415, "unsupported_content_encoding")
        assert await refusal("POST /v1/chat/completions", headers=headers) == expected


async def test_what_is_not_read_may_be_of_any_type() -> None:
    headers = (("content-type", "multipart/form-data; boundary=x"), ("content-encoding", "gzip"))
    assert (await passage("POST /v1/files", None, headers=headers)).target.upstream == "openai"


# Changes

STREAM = b'{"model":"gpt-4o", "messages":[ ], "stream":true,"stream_options":{"include_obfuscation":false}}'


async def test_streams_are_metered() -> None:
    judged = await passage("POST /v1/chat/completions", STREAM)
    assert ("x-sluicegate-stream", "1") in judged.set_headers
    assert judged.body == (
        b'{"model":"gpt-4o","messages":[ ],"stream":true,'
        b'"stream_options":{"include_obfuscation":false,"include_usage":true}}'
    )


async def test_models_are_renamed_and_paths_set() -> None:
    judged = await passage("POST /v1/chat/completions", b'{"model":"alias","messages":[],"n":1}')
    assert judged.body == b'{"model":"dep-1","messages":[],"n":1}'
    path = "/openai/deployments/dep-1/chat/completions?api-version=2024-10-21"
    assert dict(judged.set_headers)[":path"] == path


async def test_the_ceiling_is_written_where_the_client_set_none() -> None:
    judged = await passage("POST /v1/chat/completions", CHAT, knows(OutputCeiling(9)))
    assert judged.body is not None
    assert json.loads(judged.body) == {**json.loads(CHAT), "max_completion_tokens": 9}
    tuned = await passage("POST /v1/chat/completions", b'{"model":"ft:x","messages":[]}', knows(OutputCeiling(9)))
    assert tuned.body == b'{"max_tokens":9,"model":"ft:x","messages":[]}'
    # Each model's own is remembered, and not too many of them.
    gate = Gate(Chain([Link(knows(OutputCeiling(9)))]), CATALOGUE, IdentityHeaders())
    for number in [*range(600), 0, 599]:
        course = Course(Exchange("ex-1", request(headers=(JSON,))))
        gate.headers(course)
        one = gate.body(course, b'{"model":"%s","messages":[]}' % (b"gpt-4o" if number % 2 else b"ft:%d" % number))
        assert isinstance(one, Passage)
        assert one.body is not None
        field = "max_completion_tokens" if number % 2 else "max_tokens"
        assert json.loads(one.body)[field] == 9
    assert len(gate._models) == 256
    own = b'{"model":"gpt-4o","messages":[],"max_tokens":5}'
    assert (await passage("POST /v1/chat/completions", own, knows(OutputCeiling(9)))).body is None


@pytest.mark.parametrize("at_headers", [True, False])
async def test_members_that_policies_set(at_headers: bool) -> None:
    change = Mutate(members=(("user", "u"), ("x", None)))
    policy = Test(lambda _: change) if at_headers else says(change)
    judged = await passage("POST /v1/chat/completions", CHAT, policy)
    assert judged.body == b'{"user":"u","model":"gpt-4o","messages":[],"x":null}'


async def test_members_of_policies_and_the_meters_wish() -> None:
    change = Mutate(members=(("stream_options", {"include_obfuscation": True}), ("max_completion_tokens", 3)))
    judged = await passage("POST /v1/chat/completions", STREAM, knows(OutputCeiling(9)), says(change))
    assert judged.body is not None
    members = json.loads(judged.body)
    assert members["stream_options"] == {"include_obfuscation": True, "include_usage": True}
    assert members["max_completion_tokens"] == 3


async def test_a_new_body() -> None:
    judged = await passage("POST /v1/chat/completions", CHAT, says(Mutate(body=b'{"model":"gpt-4o", "messages":[1]}')))
    assert judged.body == b'{"model":"gpt-4o", "messages":[1]}'
    other = await passage("POST /v1/chat/completions", CHAT, says(Mutate(body=b'{"messages": [1]}')))
    assert other.body == b'{"model":"gpt-4o","messages": [1]}'


# Headers

SPOOFED = (
    ("x-tenant-id", "evil"),
    ("x-user-id", "evil"),
    ("x-user-roles", "OrgAdmin"),
    ("x-app-id", "evil"),
    ("x-department", "evil"),
    ("x-sluicegate-upstream", "anthropic"),
    ("x-sluicegate-stream", "1"),
    ("x-ai-eg-model", "evil"),
    ("x-envoy-original-path", "/evil"),
    ("x-http-method-override", "DELETE"),
    ("x-original-url", "/evil"),
    ("authorization", "Bearer evil"),
    ("api-key", "evil"),
    ("x-api-key", "evil"),
    ("cookie", "evil"),
)


@pytest.mark.parametrize(
    ("line", "body", "told", "token"),
    [
        ("POST /v1/chat/completions", CHAT, False, False),
        ("POST /v1/messages", b'{"model":"claude-sonnet","messages":[]}', True, False),
        ("GET /agents/kb/x", None, True, False),
        ("GET /agents/tools/x", None, True, True),
        ("GET /agents/quiet/x", None, False, False),
        ("GET /v1/files", None, False, False),
    ],
)
async def test_nothing_that_was_spoofed_survives(line: str, body: bytes | None, told: bool, token: bool) -> None:
    judged = await passage(line, body, knows(IDENTITY), headers=(JSON, *SPOOFED, *SPOOFED))
    gone = set(judged.remove_headers)
    assert gone == {name for name, _ in SPOOFED} - ({"authorization"} if token else set())
    arriving = {name: value for name, value in (JSON, *SPOOFED) if name not in gone} | dict(judged.set_headers)
    assert "evil" not in arriving.values() or token
    trusted = {
        "x-tenant-id": "t1",
        "x-user-id": "u1",
        "x-user-roles": "User",
        "x-app-id": "a1",
        "x-department": "R%C3%BCst",
    }
    expected = trusted if told else {}
    assert {name: value for name, value in arriving.items() if name in trusted} == expected
    assert arriving["x-sluicegate-upstream"] == judged.target.upstream
    assert arriving["x-sluicegate-stream"] == "0"


async def test_nobody_is_told_of_who_is_not_known() -> None:
    judged = await passage("GET /agents/kb/x", None, headers=SPOOFED)
    assert {name for name, _ in judged.set_headers} == {
        *("x-sluicegate-upstream", "x-sluicegate-stream", ":path", "traceparent")
    }


async def test_headers_of_policies() -> None:
    change = Mutate(set_headers=(("X-Budget", "1"),), remove_headers=("X-Extra",))
    judged = await passage("POST /v1/chat/completions", CHAT, says(change), headers=(JSON, ("cookie", "x")))
    assert ("x-budget", "1") in judged.set_headers
    assert judged.remove_headers == ("cookie", "x-extra")


# Waiting


async def test_no_policy_sends_an_exchange_elsewhere() -> None:
    """Envoy applies the fields in order, and the last of a name stands."""
    elsewhere = Mutate(set_headers=(("x-sluicegate-upstream", "elsewhere"), (":path", "/admin")))
    judgement, _ = await judge("POST /v1/chat/completions", CHAT, says(elsewhere))
    assert isinstance(judgement, Passage)
    assert dict(judgement.set_headers)["x-sluicegate-upstream"] == judgement.target.upstream


async def test_then() -> None:
    async def later(value: int) -> int:
        return value

    def add(value: int) -> int:
        return value + 1

    assert then(1, add) == 2
    for value, step, expected in [(later(1), add, 2), (1, later, 1), (later(1), later, 1)]:
        answer: Any = then(value, step)
        assert isawaitable(answer)
        assert await answer == expected


async def test_policies_that_wait_change_nothing_else() -> None:
    async def wait(outcome: Any) -> Any:
        return outcome

    slow = Test(lambda _: wait(CONTINUE), lambda _: wait(Mutate(set_headers=(("x-a", "1"),))))
    quick = says(Mutate(set_headers=(("x-a", "1"),)))
    assert await passage("POST /v1/chat/completions", CHAT, slow) == await passage(
        "POST /v1/chat/completions", CHAT, quick
    )
    assert await passage("GET /agents/kb/", None, slow) == await passage("GET /agents/kb/", None, quick)
    assert await refusal("POST /v1/chat/completions", CHAT, Test(lambda _: wait(Reject(401, "a", "b")))) == (401, "a")
