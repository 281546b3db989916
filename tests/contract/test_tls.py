"""Envoy and the policy server show each other certificates."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from extproc.embedded.ports import free_port
from extproc.tasks import spawn
from tests.certificates import Authority, Pair
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import HOST

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
        assert running.server.counters()["violation_client_certificate_not_trusted"] >= 1


@dataclass(frozen=True, slots=True)
class Mount:
    """A Kubernetes secret as a pod sees it: `tls.crt` -> `..data/tls.crt`, and `..data` leads to the present version."""

    folder: Path

    def put(self, pair: Pair, *authorities: str) -> None:
        """A new version, all of it at once."""
        version = self.folder / f"..{len(list(self.folder.iterdir()))}"
        version.mkdir(parents=True)
        (version / "tls.crt").write_text(Path(pair.certificate).read_text())
        (version / "tls.key").write_text(Path(pair.key).read_text())
        (version / "ca.crt").write_text("".join(Path(path).read_text() for path in authorities))
        (self.folder / "..next").symlink_to(version.name)
        (self.folder / "..next").rename(self.folder / "..data")
        for name in ("tls.crt", "tls.key", "ca.crt"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")

    def path(self, name: str) -> str:
        return str(self.folder / name)


async def updates(running: Gateway) -> int:
    """How often Envoy has taken certificates for the policy cluster."""
    async with httpx.AsyncClient() as client:
        name = "cluster.sluicegate_policy.client_ssl_socket_factory.ssl_context_update_by_sds"
        answer = await client.get(f"http://{HOST}:{running.envoy.admin}/stats", params={"filter": name})
    return int(answer.text.rpartition(":")[2])


async def test_every_certificate_and_both_authorities_change_and_no_request_fails(tmp_path: Path, simulator: str) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    mounts = server, envoy = Mount(tmp_path / "server"), Mount(tmp_path / "envoy")
    for mount in mounts:
        mount.folder.mkdir()
    server.put(old.sign("server-1", NAME), old.path)
    envoy.put(old.sign("envoy-1", "envoy.internal"), old.path)
    tls = {
        "certificate": server.path("tls.crt"),
        "key": server.path("tls.key"),
        "client_ca": server.path("ca.crt"),
        "client_names": ["envoy.internal"],
        "envoy": {
            "certificate": envoy.path("tls.crt"),
            "key": envoy.path("tls.key"),
            "ca": envoy.path("ca.crt"),
            "server_name": NAME,
        },
    }
    given = {"listen": f"{HOST}:{free_port()}", "tls": tls}
    async with running_gateway(simulator=simulator, server=given, secret_directory=tmp_path) as running:
        statuses: Counter[int] = Counter()

        async def keep_asking() -> None:
            while True:
                statuses[(await ask(running)).status_code] += 1

        transport: Any = running.server._transport
        both = (old.path, new.path)
        servers = (old.sign("server-2", NAME), new.sign("server-3", NAME), new.sign("server-4", NAME))
        envoys = (old.sign("envoy-2", "envoy.internal"), new.sign("envoy-3", "envoy.internal"))
        asking = spawn(keep_asking(), name="ask")
        try:
            for ours, theirs, authorities in (
                (servers[0], envoys[0], both),
                (servers[1], envoys[1], both),
                (servers[2], envoys[1], (new.path,)),
            ):
                seen, taken, handshakes = transport._tls._seen, await updates(running), transport._tls.handshakes
                server.put(ours, *authorities)
                envoy.put(theirs, *authorities)
                async with asyncio.timeout(20):
                    while transport._tls._seen == seen or await updates(running) == taken:
                        await asyncio.sleep(0.05)
                # Envoy is sent elsewhere, politely: only a new connection shows new certificates.
                for peer in tuple(transport._peers):
                    peer.drain()
                done = statuses.total()
                async with asyncio.timeout(20):
                    while transport._tls.handshakes == handshakes or statuses.total() < done + 20:
                        await asyncio.sleep(0.05)
        finally:
            asking.cancel()
        assert set(statuses) == {200}
        assert not [name for name in running.server.counters() if name.startswith("violation_")]
