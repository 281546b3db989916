"""How large a body may be, through real Envoy. Apart from other tests: AI Gateway runs for one gateway at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ai_gateway import plain_only
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, running_gateway

pytestmark = pytest.mark.stack
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}


async def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not(simulator: str, transport: str) -> None:
    limit = 1024 * 1024
    frame = len(json.dumps(PROMPT | {"pad": ""}, separators=(",", ":")))
    server = {"transport": transport}
    async with running_gateway([Obedient()], simulator=simulator, max_body_bytes=limit, server=server) as gateway:
        for length, status in ((limit, 200), (limit + 1, 413)):
            content = json.dumps(PROMPT | {"pad": "x" * (length - frame)}, separators=(",", ":")).encode()
            assert len(content) == length
            answer = await gateway.client.post(CHAT, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == status


@plain_only("it knows no path but its own")
async def test_opaque_bodies_are_larger_than_any_buffer(simulator: str) -> None:
    async with running_gateway([Obedient()], simulator=simulator, max_body_bytes=8_000_000) as gateway:
        answer = await gateway.client.post("/v1/files", content=b"x" * 40_000_000)
        assert answer.status_code == 200
        assert answer.json()["bytes"] == 40_000_000
