"""A gateway whose parts are processes of their own, each started by the test: policy server, identity provider, Envoy.

(In `tests.gateway` the policy server runs in the test's own process.)
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import AUTHORITY, GATEWAY, TENANTS, Caller
from extproc.embedded.ports import free_port
from extproc.settings import parse
from tests.ai_gateway import PROFILE, running_front
from tests.servers import HOST, Server, listens, running

CHAT: Final = "/v1/chat/completions"
PROMPT: Final[dict[str, Any]] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]}
CLAUDE: Final[dict[str, Any]] = {"model": "claude", "max_tokens": 9, "messages": PROMPT["messages"]}


@dataclass(slots=True)
class Served:
    """A gateway in a folder, where its logs are too. `server_section`: `server` of its configuration."""

    folder: Path
    simulator: str
    server_section: dict[str, Any]
    identity_port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)

    @property
    def config(self) -> Path:
        return self.folder / "sluicegate.yaml"

    def tree(self) -> dict[str, Any]:
        """The configuration, anew each time."""
        return {
            "listen": {"address": HOST, "port": self.gateway_port},
            "server": {"profile": PROFILE, **self.server_section},
            "upstreams": [
                {"name": "openai", "provider": "openai", "url": f"{self.simulator}/v1", "models": ["gpt-4o"]},
                {"name": "anthropic", "provider": "anthropic", "url": self.simulator, "models": ["claude"]},
            ],
            "policies": [
                {
                    "policy": "entra",
                    "settings": {
                        "authority": AUTHORITY,
                        "v1_issuer": AUTHORITY,
                        "fetch_from": f"http://{HOST}:{self.identity_port}",
                        "audiences": [GATEWAY],
                        "tenants": [{"id": TENANTS["contoso"], "name": "contoso"}],
                    },
                },
                {
                    "policy": "access",
                    "settings": {
                        "permissions": {"all": {"models": ["*"], "operations": ["chat", "messages", "models"]}},
                        "roles": {"User": ["all"]},
                    },
                },
            ],
        }

    @contextlib.contextmanager
    def served(self, ready: Callable[[], bool], *, grace: float = 5) -> Iterator[Server]:
        """The policy server, with the configuration as it is by `tree`."""
        self.config.write_text(yaml.safe_dump(self.tree()))
        command = [sys.executable, "-m", "extproc.cli", "serve", str(self.config)]
        with running(command, ready=ready, log=self.folder / "serve.log", grace=grace) as server:
            yield server

    @contextlib.contextmanager
    def identity_provider(self) -> Iterator[Server]:
        command = [sys.executable, "-m", "extproc.embedded.identity_provider", "--state", str(self.folder)]
        command += ["--port", str(self.identity_port)]
        ready = lambda: listens(self.identity_port)  # noqa: E731
        with running(command, ready=ready, log=self.folder / "identity.log") as server:
            yield server

    @contextlib.asynccontextmanager
    async def envoy(self) -> AsyncIterator[httpx.AsyncClient]:
        """Envoy, and a client of it that may ask."""
        with running_front(parse(self.tree())) as envoy:
            token = make_token(self.folder, Caller("contoso", "alice", ("User",)))
            headers = {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=envoy.url, headers=headers, timeout=30) as client:
                yield client

    async def arrived(self) -> int:
        """Requests that have reached the upstream."""
        async with httpx.AsyncClient() as client:
            return len((await client.get(f"{self.simulator}/sim/requests")).json()["requests"])

    async def forget(self) -> None:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{self.simulator}/sim/requests")
