"""Where the policy server stands next to AI Gateway's filter, by Envoy's own account; and what it does behind it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.ai_gateway import Document, ai_gateway_only
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import HOST

pytestmark = [pytest.mark.stack, ai_gateway_only]
PREFIX = "envoy.filters.http."
OURS, THEIRS = PREFIX + "ext_proc//", PREFIX + "ext_proc/aigateway"
BEFORE_THEM = {"ext_proc", "lua", "header_mutation", "buffer"}
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}


def without_buffer(documents: list[Document]) -> None:
    """The buffer is gone, behind which AI Gateway's filter would stand: it comes first. Ours keep their order."""
    [proxy] = [document for document in documents if document["kind"] == "EnvoyProxy"]
    proxy["spec"]["filterOrder"] = [
        {"name": PREFIX + "lua", "after": PREFIX + "ext_proc"},
        {"name": PREFIX + "header_mutation", "after": PREFIX + "lua"},
    ]
    _remove_buffer(documents)


def unordered(documents: list[Document]) -> None:
    """As Envoy Gateway orders filters when nobody says otherwise."""
    [proxy] = [document for document in documents if document["kind"] == "EnvoyProxy"]
    del proxy["spec"]["filterOrder"]
    _remove_buffer(documents)


def _remove_buffer(documents: list[Document]) -> None:
    for document in documents:
        if document["kind"] == "BackendTrafficPolicy":
            document["spec"].pop("requestBuffer", None)


async def filters(gateway: Gateway) -> list[str]:
    """The names of the HTTP filters of the Gateway's listener, in the order of requests."""
    async with httpx.AsyncClient() as client:
        dump = (await client.get(f"http://{HOST}:{gateway.envoy.admin}/config_dump")).json()
    managers = [found["http_filters"] for found in _managers(dump) if found.get("http_filters")]
    [ours] = [found for found in managers if any("ext_proc" in one["name"] for one in found)]
    return [one["name"] for one in ours]


def _managers(tree: Any) -> list[dict[str, Any]]:
    if isinstance(tree, dict):
        own = [tree] if str(tree.get("@type", "")).endswith("HttpConnectionManager") else []
        return own + [found for value in tree.values() for found in _managers(value)]
    return [found for value in tree for found in _managers(value)] if isinstance(tree, list) else []


async def test_we_stand_in_front(simulator: str) -> None:
    async with running_gateway([Obedient()], simulator=simulator) as gateway:
        lie = {"x-ai-eg-model": MODEL, "x-ai-eg-internal-req-id": "lie-64a2f0ff-27d5-4ff8-8bf1-1fc151c61641"}
        assert (await gateway.client.post(CHAT, json=PROMPT, headers=lie)).status_code == 200
        order = await filters(gateway)
        theirs = order.index(THEIRS)
        assert order[0].startswith(OURS)
        assert {name.removeprefix(PREFIX).partition("/")[0] for name in order[:theirs]} == BEFORE_THEM
        assert order[theirs - 1] == PREFIX + "buffer"
        assert [name for name in order[theirs:] if name.startswith((OURS, PREFIX + "lua"))] == []
        assert not [one for one in gateway.server.dependencies() if one.missing is not None]


async def test_behind_it_says_so_and_changes_nothing(simulator: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway([Obedient()], simulator=simulator, change=without_buffer) as gateway:
        order = await filters(gateway)
        assert order.index(THEIRS) < next(place for place, name in enumerate(order) if name.startswith(OURS))
        assert not [one for one in gateway.server.dependencies() if one.missing is not None]
        streamed = await gateway.client.post(CHAT, json=PROMPT | {"stream": True})
        assert streamed.status_code == 200, streamed.text
        [missing] = [one.missing for one in gateway.server.dependencies() if one.missing is not None]
        assert "behind AI Gateway" in missing
        assert [record for record in caplog.records if record.levelname == "ERROR" and "behind" in record.getMessage()]
        await gateway.forget_arrived()
        refused = await gateway.client.post(CHAT, json=PROMPT, headers={"x-test-members": "1"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "gateway_misplaced")
        assert await gateway.arrived() == []


async def test_without_any_order_the_guard_lets_nothing_through(simulator: str) -> None:
    """It stands in front of the policy server then, and sees no verdict."""
    async with running_gateway([Obedient()], simulator=simulator, change=unordered) as gateway:
        await gateway.forget_arrived()
        answer = await gateway.client.post(CHAT, json=PROMPT)
        assert answer.status_code == 503
        assert await gateway.arrived() == []
