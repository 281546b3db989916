"""Everything that is measured, running side by side before one upstream."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from extproc.embedded.faults import StackError
from extproc.embedded.ports import free_port
from extproc.embedded.stack import valkey_plan
from extproc.embedded.state import write_private
from extproc.settings import parse
from loadtests.bench import ai_gateway, following, minds, peers, targets, upstream
from loadtests.bench.ai_gateway import Guest
from loadtests.bench.measure import Counted, Target
from loadtests.bench.processes import Completions, echo_plan, envoy_plan, policy_plan, started, upstream_plan
from loadtests.bench.targets import KINDS, Kind

NAMES: Final = (*(kind.name for kind in (*KINDS, *ai_gateway.GUESTS)), *(peer.name for peer in peers.PEERS))
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to run: targets by name, and whether what is missing may be installed."""

    names: Sequence[str] = NAMES
    install: bool = True


@dataclass(frozen=True, slots=True)
class Stand:
    """What runs. `guests`: what is started for its turn; `ceilings`: what stands in nobody's way, by name; `notes`: what
    there is to say, of peers above all."""

    targets: Sequence[Target]
    guests: Sequence[Guest]
    ceilings: Mapping[str, Target]
    notes: Sequence[str]


class Builder:
    """Starts targets, one after the other, into one exit stack."""

    def __init__(self, stack: contextlib.AsyncExitStack, state: Path, identity: str) -> None:
        self._stack = stack
        self._state = state
        self._identity = identity
        self._logs, self._site = state / "logs", state / "site"
        self._logs.mkdir()
        minds.install(self._site)
        self._upstream = 0
        self._store = ""
        self.upstream_port = free_port()

    async def upstream(self) -> Target:
        """The upstream itself: first of all."""
        behind = await self._stack.enter_async_context(started(upstream_plan(self.upstream_port), self._logs))
        self._upstream = behind.pid
        return Target("upstream", self.upstream_port, {"upstream": behind.pid})

    async def gateway(self, kind: Kind) -> tuple[Target, Target | None]:
        """A target behind Envoy; beside plain Envoy the listener that answers by itself."""
        name, listen = kind.name.replace(" ", "-"), free_port()
        admin = self._state / f"{name}.admin"
        tree, pids = await self._prepared(kind, listen)
        completions, ceiling_port = None, free_port()
        if kind.transport is None:
            body = upstream.whole().partition(b"\r\n\r\n")[2].decode()
            config = targets.plain(tree, admin, ceiling_port=ceiling_port, ceiling_body=body)
        else:
            completions = await self._policy(kind, tree, pids)
            config = targets.gateway(tree, admin)
        plan = envoy_plan(name, self._write(f"{name}-envoy.yaml", config), admin)
        pids["envoy"] = (await self._stack.enter_async_context(started(plan, self._logs))).pid
        counted = Counted(admin, "gateway")
        target = Target(kind.name, listen, pids, counted, completions, followed=self._followed(kind))
        if kind.transport is not None:
            return target, None
        return target, Target(targets.CEILING, ceiling_port, {"envoy": pids["envoy"]})

    async def guest(self, kind: Kind) -> Guest:
        """A target behind AI Gateway, but for AI Gateway itself."""
        listen = free_port()
        tree, pids = await self._prepared(kind, listen)
        tree["server"]["profile"] = "ai-gateway"
        completions = await self._policy(kind, tree, pids) if kind.transport is not None else None
        target = Target(kind.name, listen, pids, None, completions, followed=self._followed(kind))
        return Guest(target, ai_gateway.documents(parse(tree), alone=kind.transport is None), self._state)

    async def _prepared(self, kind: Kind, listen: int) -> tuple[dict[str, Any], dict[str, int]]:
        """The configuration, and the processes that it names and that run already."""
        pids = {"upstream": self._upstream} if self._upstream else {}
        tree = targets.gateway_tree(
            port=listen,
            socket=self._socket(kind),
            upstream=f"http://127.0.0.1:{self.upstream_port}",
            identity=self._identity,
            kind=kind,
            valkey=await self._valkey() if kind.mind in targets.LIMITED else "",
            sinks=await self._receivers(pids) if kind.mind in targets.FOLLOWED else (),
        )
        return tree, pids

    async def _policy(self, kind: Kind, tree: Mapping[str, Any], pids: dict[str, int]) -> Completions:
        """Who decides, and who follows its journal: added to `pids`."""
        name = kind.name.replace(" ", "-")
        configuration = self._write(f"{name}.yaml", tree)
        if kind.mind == "echo" and kind.transport is not None:
            plan = echo_plan(name, kind.transport, self._socket(kind))
        else:
            plan = policy_plan(name, configuration, {"PYTHONPATH": self._search_path()})
        policy = await self._stack.enter_async_context(started(plan, self._logs))
        pids["policy"] = policy.pid
        if kind.mind in targets.FOLLOWED:
            plan = following.follower_plan(name, configuration)
            pids[following.FOLLOWER] = (await self._stack.enter_async_context(started(plan, self._logs))).pid
        return Completions(policy.log)

    def _socket(self, kind: Kind) -> Path:
        return self._state / f"{kind.name.replace(' ', '-')}.sock"

    def _followed(self, kind: Kind) -> Path | None:
        return targets.journal_folder(self._state, kind) if kind.mind in targets.FOLLOWED else None

    async def _receivers(self, pids: dict[str, int]) -> Sequence[Mapping[str, Any]]:
        """What the journal is followed for, as sinks; the process of the receivers is added to `pids`."""
        for name, key in following.KEYS.items():
            write_private(self._state / name, key)
        # One process for both: who receives spans is not what is measured.
        port = free_port()
        plan = following.receiver_plan(str(port), port)
        receiver = await self._stack.enter_async_context(started(plan, self._logs))
        pids[following.RECEIVERS] = receiver.pid
        return following.sinks(self._state, port, port)

    async def _valkey(self) -> str:
        """A Valkey, as `sluicegate up` runs it: one for all, of which one has a turn at a time."""
        if not self._store:
            state = self._state / "valkey"
            state.mkdir()
            plan = valkey_plan(state.parent, self._state)
            await self._stack.enter_async_context(started(plan, self._logs))
            self._store = plan.where.replace("unix:", "unix://", 1)
        return self._store

    async def peer(self, peer: peers.Peer) -> Target:
        """A gateway of others.

        Raises:
            StackError: it does not start.
        """
        port, base = free_port(), f"http://127.0.0.1:{self.upstream_port}/v1"
        running = await self._stack.enter_async_context(started(peers.plan(peer, port, base, self._state), self._logs))
        fields = tuple((name, value.replace("{upstream}", base)) for name, value in peer.fields)
        return Target(peer.name, port, {"policy": running.pid, "upstream": self._upstream}, fields=fields)

    def _search_path(self) -> str:
        return os.pathsep.join(filter(None, (str(self._site), os.environ.get("PYTHONPATH"))))

    def _write(self, name: str, tree: Mapping[str, Any]) -> Path:
        path = self._state / name
        write_private(path, yaml.safe_dump(tree, sort_keys=False))
        return path


@contextlib.asynccontextmanager
async def standing(state: Path, identity: str, wish: Wish, say: Say) -> AsyncIterator[Stand]:
    """Run what is wished for while the block runs. A peer that cannot be had is left out, and a note says why.

    Raises:
        StackError: something of ours did not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        builder = Builder(stack, state, identity)
        bare = await builder.upstream()
        running: list[Target] = []
        ceilings = {}
        for kind in KINDS:
            if kind.name in wish.names:
                say(f"starting {kind.name}")
                target, ceiling = await builder.gateway(kind)
                running.append(target)
                if ceiling is not None:
                    ceilings["Envoy answering by itself"] = ceiling
        ceilings["upstream without Envoy"] = bare
        guests, notes = await _guests(builder, wish, say)
        for peer in peers.PEERS:
            if peer.name in wish.names:
                say(f"starting {peer.name} {peer.version}")
                try:
                    note = await _installed(peer, wish)
                    running.append(await builder.peer(peer))
                except peers.PeerUnavailableError as error:
                    note = str(error)
                except StackError as error:
                    note = f"{peer.name} was not measured: {error}"
                say(note)
                notes.append(note)
        yield Stand(running, guests, ceilings, notes)


async def _guests(builder: Builder, wish: Wish, say: Say) -> tuple[list[Guest], list[str]]:
    """What is started for its turn; or a note that says why not."""
    kinds = [kind for kind in ai_gateway.GUESTS if kind.name in wish.names]
    if not kinds:
        return [], []
    if (reason := await ai_gateway.hindrance()) is not None:
        note = f"AI Gateway was not measured: {reason}"
        say(note)
        return [], [note]
    guests = []
    for kind in kinds:
        say(f"starting {kind.name}, but for AI Gateway itself")
        guests.append(await builder.guest(kind))
    return guests, []


async def _installed(peer: peers.Peer, wish: Wish) -> str:
    if not wish.install and not peer.is_installed:
        raise peers.PeerUnavailableError(f"{peer.name} was not measured: it is not installed (make bench installs it)")
    return await peers.install(peer)
