"""Hostile requests through real Envoy and the real policies: each gets its exact refusal, none reaches the upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.ai_gateway import ENVOY_VERSION, PROFILE, plain_only
from tests.contract.hostile import CHAT, World, body, hostile_world, http
from tests.contract.hostile_lines import FIELDS, FRAMING, METHODS, PATHS
from tests.contract.hostile_requests import BODIES, CALLS, CREDENTIALS, Hostile
from tests.entra_tokens import ALICE, CONTOSO, Issuer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
TABLE = (*CREDENTIALS, *BODIES, *CALLS, *PATHS, *METHODS, *FIELDS, *FRAMING)
NO_FILES = plain_only("it answers 404 to every path but those of calls")
NORMALISED = plain_only("Envoy Gateway has paths normalised: what is judged is what goes up")
SPELLINGS = (
    *("dot segments", "a dot segment", "escaped dot segments", "an escaped letter", "a backslash"),
    "dot segments, Anthropic",
)
"""Of a path that is granted."""
OF_AGENTS = (
    *("an agent by way of another", "an agent and dot segments", "an agent and escaped dot segments"),
    *("an agent and dots, half escaped", "an agent and a backslash", "an agent and an escaped letter"),
)
"""Of paths of agents, granted or not."""


RESOLVED = "an agent and a parameter"
"""A path of an agent, granted in part, in which Envoy 1.40 takes `..;` for dots where paths are normalised."""


def _rows() -> Iterator[Any]:
    for row in TABLE:
        if row.name == RESOLVED and PROFILE != "plain" and ENVOY_VERSION.split(".") >= ["1", "40"]:
            resolved = row._replace(expected=replace(row.expected, status=403, code="path_not_allowed"))
            yield pytest.param(resolved, id=row.name)
            continue
        marks = [NO_FILES] if b"/v1/files" in row.data else [NORMALISED] if row.name in (*SPELLINGS, *OF_AGENTS) else []
        yield pytest.param(row, marks=marks, id=row.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer()) as running:
        yield running


@pytest.mark.parametrize("hostile", list(_rows()))
async def test_a_hostile_request_is_refused_and_never_passes(world: World, hostile: Hostile) -> None:
    await world.attack(hostile.data, hostile.expected, half_close=hostile.half_close)


async def test_every_row_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(row.name for row in TABLE).items() if times > 1] == []


OF_AI_GATEWAY = () if PROFILE == "plain" else ("x-ai-eg-model", "x-ai-eg-internal-req-id", "x-ai-eg-original-path")
"""Fields in which AI Gateway tells providers of itself."""
LIES = {
    "who calls": ("x-tenant-id", "x-user-id", "x-user-roles", "x-app-id", "x-department"),
    "our own": ("x-sluicegate-verdict", "x-sluicegate-upstream", "x-sluicegate-stream", "x-sluicegate-canary"),
    "Envoy AI Gateway's": ("x-ai-eg-model", "x-ai-eg-selected-route", "x-aigw-canary"),
    "Envoy's": (
        "x-envoy-original-path",
        "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-decorator-operation",
        "x-envoy-external-address",
        "x-envoy-force-trace",
        "x-envoy-internal",
    ),
    "proxies'": (
        *("x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-access-token"),
        *("x-auth-request-user", "x-remote-user", "remote-user", "x-consumer-username", "x-webauth-user"),
        *("x-ms-client-principal", "x-ms-client-principal-id", "x-amzn-oidc-data", "x-goog-iap-jwt-assertion"),
        *("cf-access-jwt-assertion", "x-goog-authenticated-user-email"),
    ),
    "of another method or path": (
        *("x-http-method-override", "x-http-method", "x-method-override"),
        *("x-original-url", "x-original-uri", "x-rewrite-url"),
    ),
    "a credential": ("cookie", "x-goog-api-key", "ocp-apim-subscription-key", "proxy-authorization"),
}
"""Fields that clients have no business to send: the request passes, they do not."""


@pytest.mark.skipif(PROFILE == "plain", reason="in the plain profile these are refused")
@pytest.mark.parametrize("name", SPELLINGS)
async def test_another_spelling_of_a_path_is_judged_as_it_goes_up(world: World, name: str) -> None:
    [row] = [row for row in TABLE if row.name == name]
    before = len(world.gateway.recorder.completions)
    [answer] = await world.send(row.data)
    assert answer.status == 200
    [completion], [arrived] = await world.fence(before)
    assert completion.path == CHAT
    assert arrived["path"] == CHAT


@pytest.mark.parametrize("target", [CHAT, "/agents/kb/ask"])
@pytest.mark.parametrize("names", LIES.values(), ids=LIES)
async def test_lies_in_header_fields_go_nowhere(world: World, names: tuple[str, ...], target: str) -> None:
    lies = [(spelling, "canary-lie") for name in names for spelling in (name, name.title())]
    before = len(world.gateway.recorder.completions)
    [answer] = await world.send(http(target, None, *lies))
    assert answer.status == 200, answer
    _, [arrived] = await world.fence(before)
    told = [(name, value) for name, value in arrived["headers"] if name in names and name not in OF_AI_GATEWAY]
    truth = {"x-tenant-id": CONTOSO, "x-user-id": ALICE, "x-user-roles": "User"}
    expected = {name: truth[name] for name in names if name in truth and target != CHAT}
    assert {name: value for name, value in told if name != "x-app-id"} == expected
    assert "canary-lie" not in repr(arrived)
    assert world.good not in repr(arrived)


ODD = {
    "the whole URL as target": http(f"http://canary.example{CHAT}"),
    "HTTP/2 by upgrade, not taken": http(
        CHAT, None, ("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")
    ),
    "a folded field": http(CHAT, None, ("x-canary", b"a\r\n b")),
    "a carriage return in a field": http(CHAT, None, ("x-canary", b"a\rtransfer-encoding: chunked")),
    "line feeds without carriage returns": http().replace(b"\r\n", b"\n"),
    "two hosts": http(CHAT, None, ("host", "gateway.example"), ("host", "canary.example")),
    "an empty host": http(CHAT, None, ("host", "")),
    "a host with a user": http(CHAT, None, ("host", "canary@gateway.example")),
    "an extension of a chunk": http(CHAT, b"", ("transfer-encoding", "CHUNKED"), without=["content-length"])
    + b"%x;canary=1\r\n%b\r\n0\r\n\r\n" % (len(body()), body()),
    "tabs in the request line": http().replace(b"POST /", b"POST\t/"),
    "a field that belongs to this connection": http(CHAT, None, ("connection", "close, x-canary"), ("x-canary", "c")),
    "an expectation": http(CHAT, None, ("expect", "100-continue")),
    "a coding of this connection": http(CHAT, None, ("te", "trailers, gzip"), ("keep-alive", "timeout=9")),
    "a trailer in chunks": http(CHAT, b"", ("transfer-encoding", "chunked"), without=["content-length"])
    + b"%x\r\n%b\r\n0\r\nx-tenant-id: canary\r\nauthorization: canary\r\n\r\n" % (len(body()), body()),
    "20 MiB": http(CHAT, body().ljust(20 << 20)),
}
"""Odd requests that Envoy reads in one way. What was judged is what goes up, framed anew, and nothing beside it."""


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
async def test_an_odd_request_has_one_reading(world: World, data: bytes) -> None:
    before = len(world.gateway.recorder.completions)
    answers = await world.send(data)
    assert [answer.status for answer in answers if answer.status != 100] == [200], answers
    completions, [arrived] = await world.fence(before)
    assert [completion.status for completion in completions] == [200]
    assert (arrived["method"], arrived["path"]) == ("POST", CHAT)
    fields = dict(arrived["headers"])
    assert len(fields) == len(arrived["headers"])
    assert fields["content-length"] == str(arrived["body_length"])
    of_the_gateway = {"x-request-id", "traceparent", *OF_AI_GATEWAY}
    assert set(fields) <= {"host", "content-type", "content-length", "user-agent", "x-canary", "te"} | of_the_gateway
    if PROFILE == "plain":
        # Envoy Gateway names a provider to itself that has a name; here it has an address.
        assert fields["host"] == world.gateway.simulator.removeprefix("http://")
    assert "transfer-encoding" not in fields
