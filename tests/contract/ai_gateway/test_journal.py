"""What is on record of exchanges that went through AI Gateway: all of them, whole, with backend, route and real model."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ai_gateway import ai_gateway_only
from tests.contract.tools import run
from tests.limited import CHAT, Limited, limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, ai_gateway_only]
SLUICEGATE = (sys.executable, "-m", "extproc.cli")


async def leave(gateway: Limited) -> None:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Say something."}]}
    headers = gateway.headers(tokens=500, chunk_delay_ms=5)
    async with gateway.client.stream("POST", CHAT, json=body, headers=headers) as answer:
        async for text in answer.aiter_lines():
            if '"content":" ' in text:
                return


async def test_every_ending_is_on_record_once(simulator: str, valkey: RedisServer) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        audit = {"policy": "audit", "settings": {"journal": {"folder": f"{folder}/journal"}}}
        limits = [{"subject": "user", "requests_per_day": 5}]
        async with limited(Path(folder), simulator, valkey, limits, after=[audit]) as gateway:
            assert (await gateway.ask(tokens=7)).status_code == 200
            assert (await gateway.ask(tokens=7, members={"stream": True})).status_code == 200
            assert (await gateway.ask(status=500)).status_code == 500
            with pytest.raises(httpx.RemoteProtocolError):
                await gateway.ask(members={"stream": True}, tokens=50, cut_after=20, chunk_delay_ms=2)
            await leave(gateway)
            assert (await gateway.ask()).status_code == 429
            await gateway.settled(6)
        # The server has ended, and with it the journal is whole.
        await run(*SLUICEGATE, "audit", "verify", f"{folder}/journal")
        written = [line for path in Path(folder, "journal").rglob("*.jsonl") for line in path.read_text().splitlines()]
    records = [json.loads(line) for line in written]
    closed = [record for record in records if record["kind"] == "closing"]
    decided = [record for record in records if record["kind"] == "decision"]
    assert len({record["exchange_id"] for record in decided}) == len(decided) == 6
    assert sorted(record["exchange_id"] for record in closed) == sorted(record["exchange_id"] for record in decided)
    ended = [(record["ending"], record["http.response.status_code"]) for record in closed]
    assert sorted(ended) == [
        ("answered", 200),
        ("answered", 200),
        ("answered", 500),
        ("client_gone", 200),
        ("rejected", 429),
        ("upstream_cut", 200),
    ]
    went = [record for record in closed if record["ending"] != "rejected"]
    assert {record["backend"] for record in went} == {"default/sluicegate-openai"}
    assert {record["route"] for record in went} == {"default/sluicegate", "default/sluicegate-stream"}
    assert {record["response_model"] for record in _answered(closed)} == {"gpt-4o"}
    assert [record["tokens"]["output"] for record in _answered(closed)] == [7, 7]
    assert all(float(record["cost"]) > 0 for record in _answered(closed))


def _answered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["http.response.status_code"] == 200 and record["ending"] == "answered"]
