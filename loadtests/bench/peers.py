"""Other gateways, each in an environment of its own, made once. Edge: pip, npm and their processes.

LiteLLM and Portkey proxy and decide in one process; here they only proxy: no key, no database, no cache, no budget.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from extproc.embedded.child import Plan
from extproc.embedded.probes import accepts

_INSTALLATION_SECONDS: Final = 600.0
_START_SECONDS: Final = 90.0
LITELLM: Final = "1.102.4"
PORTKEY: Final = "1.15.2"
_PORTKEY_PACKAGE: Final[Mapping[str, Any]] = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": PORTKEY},
    # With later ones its streams fail: "TypeError: immutable", on headers that it adds to the answer.
    "overrides": {"@hono/node-server": "1.13.8"},
}


class PeerUnavailableError(Exception):
    """This machine cannot run the peer. For people."""


def cache() -> Path:
    """Where the environments are kept: $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluicegate" / "bench"


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway of others. `folder` is complete if it holds the file `complete`.

    Attributes:
        needs: the program that makes its environment.
        fields: headers that its requests need, `{upstream}` for the base URL of the upstream.
    """

    name: str
    version: str
    needs: str
    environment: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        return cache() / f"{self.name}-{self.version}"

    @property
    def is_installed(self) -> bool:
        return (self.folder / "complete").exists()


PEERS: Final = (
    Peer(
        "litellm",
        LITELLM,
        needs=sys.executable,
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
        },
    ),
    Peer(
        "portkey",
        PORTKEY,
        needs="npm",
        fields=(("x-portkey-provider", "openai"), ("x-portkey-custom-host", "{upstream}")),
    ),
)


def plan(peer: Peer, port: int, upstream: str, state: Path) -> Plan:
    """How to run it before this upstream (a base URL that ends with /v1)."""
    if peer.name == "litellm":
        path = state / "litellm.yaml"
        target = {"model": "openai/gpt-4o-mini", "api_base": upstream, "api_key": "none"}
        # JSON is YAML.
        path.write_text(json.dumps({"model_list": [{"model_name": "gpt-4o-mini", "litellm_params": target}]}))
        options = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False")
        command: tuple[str, ...] = (str(peer.folder / "bin" / "litellm"), "--config", str(path), *options)
    else:
        program = peer.folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        command = (shutil.which("node") or "node", str(program), f"--port={port}", "--headless")
    ready = accepts("127.0.0.1", port)
    return Plan(peer.name, command, ready, environment=peer.environment, patience=_START_SECONDS, grace=2.0)


async def install(peer: Peer) -> str:
    """Make its environment, unless it is there. What to say about it.

    Raises:
        PeerUnavailableError: that is not possible here.
    """
    if peer.is_installed:
        return f"{peer.name} {peer.version}: installed before"
    if shutil.which(peer.needs) is None or (peer.needs == "npm" and shutil.which("node") is None):
        raise PeerUnavailableError(f"{peer.name} was not measured: {peer.needs} is not installed")
    start = time.monotonic()
    folder = peer.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if peer.name == "litellm":
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        await _run(peer, (sys.executable, "-m", "venv", str(folder)))
        # Only wheels: what is installed runs nothing while it is installed.
        await _run(peer, (*pip, "--only-binary", ":all:", f"litellm[proxy]=={LITELLM}"))
    else:
        (folder / "package.json").write_text(json.dumps(_PORTKEY_PACKAGE))
        options = ("--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder))
        await _run(peer, ("npm", "install", *options))
    (folder / "complete").touch()
    return f"{peer.name} {peer.version}: installed in {time.monotonic() - start:.0f} s"


async def _run(peer: Peer, command: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_INSTALLATION_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise PeerUnavailableError(f"{peer.name} was not measured: its installation took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = next((line for line in reversed(output.decode("utf-8", "replace").splitlines()) if line.strip()), "")
        raise PeerUnavailableError(f"{peer.name} was not measured: it cannot be installed here ({last[:160]})")
