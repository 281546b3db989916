"""Envoy and the policy server show each other certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import Authority
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import HOST, free_port

pytestmark = pytest.mark.stack
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}
NAME = "policy.internal"


@asynccontextmanager
async def gateway(folder: Path, simulator: str, *, envoys: Authority, ours: Authority) -> AsyncIterator[Gateway]:
    """A gateway whose Envoy shows a certificate of `envoys`, where the policy server believes `ours`."""
    server, client = ours.sign("server", NAME), envoys.sign("envoy", "envoy.internal")
    tls = {
        "certificate": server.certificate,
        "key": server.key,
        "client_ca": ours.path,
        "client_names": ["envoy.internal"],
        "envoy": {"certificate": client.certificate, "key": client.key, "ca": ours.path, "server_name": NAME},
    }
    listen = f"{HOST}:{free_port()}"
    async with running_gateway(simulator=simulator, server={"listen": listen, "tls": tls}) as running:
        yield running


async def ask(running: Gateway) -> httpx.Response:
    return await running.client.post("/v1/chat/completions", json=PROMPT)


async def test_requests_pass_and_are_settled_while_certificates_change(tmp_path: Path, simulator: str) -> None:
    ours = Authority(tmp_path, "ours")
    async with gateway(tmp_path, simulator, envoys=ours, ours=ours) as running:
        answer = await ask(running)
        assert answer.status_code == 200
        assert (await running.completion(answer)).usage is not None
        transport = running.server._transport
        before = transport.counters()["tls_handshakes"]
        ours.sign("server", NAME)
        # Longer than the server's look at its files; requests go on meanwhile.
        for _ in range(30):
            assert (await ask(running)).status_code == 200
            await asyncio.sleep(0.1)
        # The old connection knows nothing of it; another one gets the new certificate.
        for peer in tuple(transport._peers):  # type: ignore[attr-defined]
            peer.abort()
        statuses = [(await ask(running)).status_code for _ in range(5)]
        assert statuses[1:] == [200] * 4
        assert transport.counters()["tls_handshakes"] > before


async def test_a_certificate_of_others_decides_nothing(tmp_path: Path, simulator: str) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    async with gateway(tmp_path, simulator, envoys=theirs, ours=ours) as running:
        answer = await ask(running)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "policy_unavailable")
        assert running.server.counters().get("streams", 0) == 0
        assert running.server.counters()["tls_handshakes"] >= 1
