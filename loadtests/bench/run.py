"""One run: start everything, and let the targets take turns."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.in_process import identity_provider
from extproc.embedded.ports import free_port
from extproc.embedded.state import write_private
from loadtests.bench import targets, upstream
from loadtests.bench.load import EMPTY_REQUEST
from loadtests.bench.measure import Target, measure
from loadtests.bench.measure import ceiling as at_ceiling
from loadtests.bench.processes import Completions, envoy_plan, policy_plan, started, upstream_plan
from loadtests.bench.results import BASE, Cell
from loadtests.bench.scenarios import SCENARIOS, Extent

_WARM_UP: Final = 0.5
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that was measured. `ceilings`: unary load of 32 connections on what stands in nobody's way."""

    cells: Mapping[tuple[str, str], list[Cell]]
    ceilings: Mapping[str, Cell]


async def run(extent: Extent, say: Say) -> Run:
    """Measure every target under every scenario.

    Raises:
        BenchError: a request failed, was not settled or not metered.
        StackError: something did not start.
    """
    # Sockets stand here: their paths must be short.
    with tempfile.TemporaryDirectory(prefix="sluicegate-bench-") as folder, identity_provider(Path(folder)) as identity:
        state = Path(folder)
        requests = _write_requests(state)
        async with _running(state, identity) as (served, ceiling, bare):
            cells: dict[tuple[str, str], list[Cell]] = {}
            for scenario in SCENARIOS:
                say(f"{scenario.name}: warming up")
                for target in served:
                    await measure(target, scenario, requests[scenario.name], extent, _WARM_UP)
                for number in range(extent.rounds):
                    say(f"{scenario.name}: round {number + 1} of {extent.rounds}")
                    for target in served:
                        cell = await measure(target, scenario, requests[scenario.name], extent, extent.seconds)
                        cells.setdefault((scenario.name, target.name), []).append(cell)
            say("ceilings")
            # Envoy hangs up when it answers before it has read a body, so its own answer is asked for without one.
            write_private(state / "empty-request", EMPTY_REQUEST.decode())
            ceilings = {
                "Envoy answering by itself": await at_ceiling(ceiling, state / "empty-request", extent),
                "upstream without Envoy": await at_ceiling(bare, requests[SCENARIOS[1].name], extent),
            }
        return Run(cells, ceilings)


def _write_requests(state: Path) -> dict[str, Path]:
    """The file with the request of each scenario. Only we can read them: they hold a token."""
    token = make_token(state, Caller("contoso", "bench", ("User",)))
    paths = {}
    for number, scenario in enumerate(SCENARIOS):
        path = state / f"request-{number}"
        write_private(path, scenario.request(token).decode())
        paths[scenario.name] = path
    return paths


@contextlib.asynccontextmanager
async def _running(state: Path, identity: str) -> AsyncIterator[tuple[list[Target], Target, Target]]:
    """The targets, the ceiling, and the upstream as a target of its own."""
    logs, site = state / "logs", state / "site"
    logs.mkdir()
    targets.install_nothing(site)
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        behind = await stack.enter_async_context(started(upstream_plan(port), logs))
        served = []
        for name, policies in ((BASE, None), ("empty", [{"policy": targets.Nothing.name}]), ("default", None)):
            admin, socket, listen = state / f"{name}.admin", state / f"{name}.sock", free_port()
            tree = targets.gateway_tree(
                port=listen, socket=socket, upstream=f"http://127.0.0.1:{port}", identity=identity, policies=policies
            )
            pids = {"upstream": behind.pid}
            completions = None
            if name == BASE:
                ceiling_port = free_port()
                body = upstream.whole().partition(b"\r\n\r\n")[2].decode()
                config = targets.plain(tree, admin, ceiling_port=ceiling_port, ceiling_body=body)
            else:
                configuration = _write(state / f"{name}.yaml", tree)
                plan = policy_plan(name, configuration, {"PYTHONPATH": _search_path(site)})
                policy = await stack.enter_async_context(started(plan, logs))
                pids["policy"] = policy.pid
                completions = Completions(policy.log)
                config = targets.gateway(tree, admin)
            plan = envoy_plan(name, _write(state / f"{name}-envoy.yaml", config), admin)
            pids["envoy"] = (await stack.enter_async_context(started(plan, logs))).pid
            served.append(Target(name, listen, admin, "gateway", pids, completions))
        plain = served[0]
        ceiling = Target(
            targets.CEILING, ceiling_port, plain.admin, targets.CEILING, {"envoy": plain.pids["envoy"]}, None
        )
        yield served, ceiling, Target("upstream", port, plain.admin, "", {"upstream": behind.pid}, None)


def _search_path(site: Path) -> str:
    return os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))


def _write(path: Path, tree: Mapping[str, Any]) -> Path:
    write_private(path, yaml.safe_dump(tree, sort_keys=False))
    return path


def say(line: str) -> None:
    """Progress, beside the report."""
    print(line, file=sys.stderr, flush=True)
