"""Twenty thousand exchanges, good and hostile, through the whole policy server: nothing in it may grow with their number.

Envoy is played: every message that it would send is here, also those that only a broken or forged peer would send. Memory
is counted in blocks of Python's allocator, which does not depend on the machine.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Final

import pytest

from extproc import settlement as settlement_module
from extproc.chain import Chain, Link
from extproc.conversation import Conversation
from extproc.policy import Surroundings
from extproc.protos import Message, ProcessingResponse, StreamAccessLogsMessage
from extproc.server import PolicyServer
from extproc.settings import parse
from extproc.transport import ProtocolError
from policies.access import AccessPolicy
from policies.access.settings import AccessSettings
from tests.entra_tokens import CONTOSO, FABRIKAM, guid
from tests.gateway import Recorder
from tests.playbook import JSON, body, headers, response_headers
from tests.policies.entra.world import World

WARM_UP: Final = 5_000
ROUNDS: Final = 20_000
BLOCKS: Final = 4_000
"""Growth that is let pass: less than one block for every third exchange."""
MODELS: Final = ("gpt-4o", "claude-sonnet", "gpt-5", "nobody's", "*", "\u202egpt")
PATHS: Final = (
    *("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/models/gpt-4o"),
    *("/agents/kb/x", "/v1/files/a", "/", "", "/v1/chat/completions?api-version=1", "//", "/agents/kb/../x"),
)
ACCESS: Final = {
    "permissions": {
        "use": {
            "operations": ["chat", "messages", "models", "embeddings", "responses"],
            "models": ["gpt-*", "claude-*"],
            "agents": ["kb"],
        },
        "little": {"operations": ["chat"], "models": ["gpt-4o"], "max_output_tokens": 100},
    },
    "roles": {"User": ["use"], **{f"Role{number}": ["little"] for number in range(40)}},
}


def gateway(world: World, address: str) -> PolicyServer:
    settings = parse(
        {
            "server": {"listen": address, "grace": 1},
            "upstreams": [
                {"name": "openai", "provider": "openai", "url": "https://openai.example/v1", "models": ["gpt-*"]},
                {"name": "claude", "provider": "anthropic", "url": "https://claude.example", "models": ["claude-*"]},
            ],
            "agents": [{"name": "kb", "url": "https://kb.example"}],
            "opaque": [{"name": "files", "path": "/v1/files/*", "upstream": "openai"}],
            "policies": [{"policy": "entra"}, {"policy": "access"}],
        }
    )
    access = AccessPolicy.build(AccessSettings.model_validate(ACCESS), Surroundings(settings.catalogue(), world.clock))
    return PolicyServer(settings, Chain([Link(world.policy), Link(access), Link(Recorder())]))


class Envoy:
    """A peer that mostly behaves, and sometimes does not."""

    def __init__(self, server: PolicyServer, world: World, dice: random.Random) -> None:
        self.server = server
        self.dice = dice
        roles = [["User"], ["Nobody"], *([f"Role{number}", "User"] for number in range(40))]
        # More tokens than are remembered.
        self.tokens = [
            world.token(
                tenant, roles=roles[number % len(roles)], oid=guid(str(number)), exp=int(world.clock.now) + 99_999
            )
            for tenant in (CONTOSO, FABRIKAM)
            for number in range(60)
        ]
        self.verdicts = 0

    async def exchange(self) -> None:
        conversation = self.server._converse()
        message = StreamAccessLogsMessage()
        entry = message.http_logs.log_entry.add()
        entry.common_properties.stream_id = f"{self.dice.getrandbits(128):x}"
        try:
            for sent in self._messages():
                reply = await self._said(conversation, sent)
                if reply.HasField("dynamic_metadata"):
                    self.verdicts += 1
                    for name, struct in reply.dynamic_metadata.fields.items():
                        entry.common_properties.metadata.filter_metadata[name].CopyFrom(struct.struct_value)
                if conversation.is_over:
                    break
        except ProtocolError:
            pass
        self._forge(entry)
        self.server._settlement.take(message.SerializeToString())
        if self.dice.random() < 0.05:
            self.server._settlement.take(message.SerializeToString())

    @staticmethod
    async def _said(conversation: Conversation, sent: Message) -> Message:
        reply = conversation.receive(sent.SerializeToString())
        return ProcessingResponse.FromString(await reply if isawaitable(reply) else reply)

    def _messages(self) -> list[Message]:
        dice = self.dice
        path = dice.choice(PATHS) + (f"?q={dice.getrandbits(64)}" if dice.random() < 0.2 else "")
        opening = headers(
            dice.choice(("POST", "POST", "POST", "GET", "")),
            path,
            JSON,
            *self._credentials(),
            *((f"x-{dice.getrandbits(64)}", "v" * dice.randrange(200)) for _ in range(dice.choice((0, 3, 300)))),
            request_id=f"{dice.getrandbits(128):x}",
        )
        if dice.random() < 0.02:
            # Pseudo header fields that are not there.
            del opening.request_headers.headers.headers[: dice.randrange(5)]
        messages = [opening, self._body()]
        return [response_headers(200), *messages] if dice.random() < 0.02 else messages

    def _credentials(self) -> tuple[tuple[str, str], ...]:
        dice = self.dice
        token = dice.choice(self.tokens)
        wrong = (
            (("authorization", f"Bearer {token}"), ("api-key", "other")),
            (("authorization", f"Bearer {token[:-6]}{dice.getrandbits(32):06x}"),),
            (("authorization", f"Bearer {dice.getrandbits(512):x}.{dice.getrandbits(64):x}.x"),),
            (("x-api-key", f"{dice.getrandbits(128):x}"),),
            (),
        )
        return (("authorization", f"Bearer {token}"),) if dice.random() < 0.7 else dice.choice(wrong)

    def _body(self) -> Message:
        dice = self.dice
        call: dict[str, Any] = {
            "model": dice.choice((*MODELS, f"gpt-{dice.getrandbits(64)}")),
            "messages": [{"role": "user", "content": "x" * dice.randrange(300)}],
            "input": "text",
            "stream": dice.choice((True, False, "yes")),
            f"k{dice.getrandbits(64)}": {f"k{dice.getrandbits(64)}": dice.random()},
            "tools": [{"type": f"t{dice.getrandbits(64)}"}] if dice.random() < 0.1 else [],
        }
        text = json.dumps(call).encode()
        return body(dice.choice((text, text, text, text[:-3], b"", b"[" * 1000, text + text)))

    def _forge(self, entry: Message) -> None:
        """What an entry may hold that was written by somebody else than our own verdict."""
        dice, metadata = self.dice, entry.common_properties.metadata.filter_metadata
        forgeries: tuple[Callable[[], object], ...] = (
            lambda: metadata["sluicegate"].update({"facts": dice.choice(("{", "[" * 5000, "\0", '{"id":1}'))}),
            lambda: metadata["sluicegate"].update({f"k{dice.getrandbits(64)}": 1, "verdict": "sure"}),
            lambda: metadata["sluicegate.usage"].update({"input": dice.choice((-1, 1e300, float("nan"))), "output": 2}),
            lambda: metadata[f"n{dice.getrandbits(64)}"].update({"a": [[[[["b"]]]]]}),
            lambda: setattr(entry.common_properties.start_time, "seconds", dice.choice((-(2**62), 2**62))),
            lambda: setattr(entry.response, "response_code_details", "x" * 10_000),
            lambda: setattr(entry.request, "path", f"/{dice.getrandbits(512)}?secret"),
        )
        if dice.random() < 0.3:
            dice.choice(forgeries)()


def blocks() -> int:
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks()


async def test_nothing_grows_with_the_number_of_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement_module, "emit", lambda *_: None)
    world = World(token_cache_size=50)
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        server = gateway(world, f"unix:{folder}/policy.sock")
        recorder = server._chain.links[-1].policy
        assert isinstance(recorder, Recorder)
        await server.start()
        envoy = Envoy(server, world, random.Random(1))
        settled, before = 0, 0
        for number in range(ROUNDS):
            await envoy.exchange()
            if number % 100 == 99:
                await server._settlement._messages.join()
                settled += len(recorder.completions)
                recorder.completions.clear()
            if number + 1 == WARM_UP:
                before = blocks()
        growth = blocks() - before
        await server.stop()
    assert envoy.verdicts > ROUNDS * 0.6
    assert settled > ROUNDS
    assert growth < BLOCKS, f"{growth} blocks in {ROUNDS - WARM_UP} exchanges"
