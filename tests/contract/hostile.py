"""What the tables of hostile requests share: a gateway with the real policies, a client that sends any bytes, one check.

Requests are raw bytes, because every client library refuses to send what attackers send. After each of them a *fence*
follows: a good request. Envoy has one worker here and logs in order, so once the fence is settled, everything before it
is settled too; and a gateway that answers the fence is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.assembly import assemble
from extproc.completion import Completion
from tests.ai_gateway import PROFILE
from tests.entra_tokens import API, CONTOSO, FABRIKAM, Issuer
from tests.gateway import MODEL, Gateway, running_gateway, settings
from tests.policies.entra.http_server import Answer as Document
from tests.policies.entra.http_server import serving

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
AZURE: Final = "/openai/deployments/prod-4o/chat/completions"
CANARY: Final = "canary"
"""Stands in every hostile request, and must stand in no answer."""
GOOD_TOKEN: Final = b"%GOOD%"
"""In the bytes of a request: replaced by a token with the role User."""
PATIENCE: Final = 20.0
"""Seconds after which an exchange hangs."""
CONSUMERS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal accounts."""
OF_FABRIKAM: Final = "of-fabrikam"
"""A key that is published for one tenant alone."""

ENVOYS_OWN: Final[Mapping[str, tuple[int, ...]]] = {
    "malformed_request": (403,),
    "request_headers_too_large": (),
    "underscore_in_header": (),
    "unknown_endpoint": (400,),
    "unsupported_http_version": (426,),
    "unsupported_transfer_encoding": (501,),
}
"""What Envoy refuses by itself, and by which other status, where no local reply of it can be put into a dialect."""

ROLES: Final[Mapping[str, Any]] = {
    "permissions": {
        "ask": {
            "operations": ["chat", "completions", "responses", "embeddings", "messages", "count_tokens", "models"],
            "models": [MODEL, "embed-small", "claude-*", "prod-4o"],
            "max_output_tokens": 4096,
        },
        "look": {"operations": ["models"]},
        "agent": {"agents": [{"name": "kb", "methods": ["GET", "POST"], "paths": ["/ask", "/docs/*"]}]},
        "upload": {"opaque": [{"name": "files", "methods": ["POST"], "paths": ["/v1/files"]}]},
    },
    "roles": {
        "User": {"permissions": ["ask", "agent", "upload"], "callers": ["user"]},
        "Job": {"permissions": ["ask"], "callers": ["app"]},
        "Looker": ["look"],
    },
    "groups": {"0f0f0f0f-1111-4222-8333-444444444444": ["ask"]},
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a hostile request gets.

    `status` None: no answer, the connection or stream ends. `named`: Envoy understood enough to give it an id.
    """

    status: int | None
    code: str = ""
    dialect: str = "openai"
    named: bool = True
    completions: int = 1


@dataclass(slots=True)
class World:
    """A running gateway, what mints its tokens, and who counts what passes."""

    gateway: Gateway
    issuer: Issuer
    good: str
    _fences: Iterator[int] = field(default_factory=itertools.count)
    _own: set[str] = field(default_factory=set)

    async def send(self, data: bytes, *, half_close: bool = False) -> list[Answer]:
        """Send bytes on a connection of their own, and read all answers until Envoy closes it."""
        port = next(iter(self.gateway.envoy.ports.values()))
        async with asyncio.timeout(PATIENCE):
            return read_answers(await _talk(port, data.replace(GOOD_TOKEN, self.good.encode()), half_close))

    async def fence(self, before: int) -> tuple[list[Completion], list[Mapping[str, Any]]]:
        """Send a good request; the completions since there were `before`, and the arrivals, that are no fence's own."""
        mark = str(next(self._fences))
        headers = {"authorization": f"Bearer {self.good}", "x-fence": mark}
        answer = await self.gateway.client.post(CHAT, json=prompt(), headers=headers)
        assert answer.status_code == 200, answer.text
        self._own.add((await self.gateway.completion(answer)).request_id)
        completions = [one for one in self.gateway.recorder.completions[before:] if one.request_id not in self._own]
        arrived = await self.gateway.arrived()
        others = [one for one in arrived if dict(one["headers"]).get("x-fence") != mark]
        assert len(others) == len(arrived) - 1
        await self.gateway.forget_arrived()
        return completions, others

    async def attack(self, data: bytes, expected: Expected, *, half_close: bool = False) -> Answer | None:
        """Send, and hold everything that must be so: the answer, nothing at the upstream, one completion, still alive."""
        before = len(self.gateway.recorder.completions)
        answers = await self.send(data, half_close=half_close)
        completions, arrived = await self.fence(before)
        assert not arrived, arrived
        assert len(completions) == expected.completions, completions
        assert self.good.rpartition(".")[2] not in repr(completions)
        if PROFILE == "ai-gateway" and expected.named and expected.code == "malformed_request" and not answers:
            # The connection is closed before AI Gateway's filter has let Envoy's answer to a broken body pass.
            return None
        assert len(answers) == (0 if expected.status is None else 1), answers
        if not answers:
            return None
        check(answers[0], expected)
        if expected.named and completions:
            assert answers[0].all("x-request-id") == [completions[0].request_id]
        return answers[0]


def of_envoy(answer: Answer, expected: Expected) -> bool:
    """Whether Envoy answers by itself in the AI Gateway profile, before it has a route: no script of ours runs then. It
    says its own few words, with a status that means the same."""
    if PROFILE == "plain" or answer.all("content-type") == ["application/json"]:
        return False
    assert answer.status in {expected.status, *ENVOYS_OWN[expected.code]}, answer
    assert re.fullmatch(rb"[A-Z][A-Za-z ]*|", answer.body), answer
    return True


def check(answer: Answer, expected: Expected) -> None:
    """The answer is the dialect's error object with the code, has an id where it can, and reflects nothing."""
    if of_envoy(answer, expected):
        return
    assert answer.all("content-type") == ["application/json"], answer
    body = json.loads(answer.body)
    assert (answer.status, body["error"]["code"]) == (expected.status, expected.code), answer
    if expected.dialect == "anthropic":
        assert set(body) == {"type", "error", "request_id"}
        assert body["type"] == "error"
        assert set(body["error"]) == {"type", "message", "code"}
    else:
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert body["error"]["type"]
    # Before Envoy has made an id it says the client's own in the header, and nowhere else.
    told = [(name, value) for name, value in answer.headers if expected.named or name != "x-request-id"]
    assert CANARY not in f"{told} {answer.body!r}".lower()
    if expected.named:
        [request_id] = answer.all("x-request-id")
        assert len(request_id) >= 32
        assert body.get("request_id", request_id) == request_id


def prompt(**members: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}], **members}


def body(**members: Any) -> bytes:
    """A good body that holds the canary, with these changes."""
    return json.dumps({"user": CANARY, **prompt(), **members}).encode()


def http(
    target: str | bytes = CHAT,
    content: bytes | None = None,
    *fields: tuple[str, str | bytes],
    method: str = "POST",
    version: str = "HTTP/1.1",
    without: Iterable[str] = (),
) -> bytes:
    """A request: good, but for what is given. `content` None: the good body. `without` leaves out usual fields."""
    data = body() if content is None else content
    usual: dict[str, str | bytes] = {
        "host": "gateway.example",
        "connection": "close",
        "authorization": b"Bearer " + GOOD_TOKEN,
        "content-type": "application/json",
        "content-length": str(len(data)),
        "x-request-id": CANARY,
        "user-agent": CANARY,
    }
    replaced = {name.lower() for name, _ in fields} | set(without)
    kept = [(name, value) for name, value in usual.items() if name not in replaced]
    lines = [b" ".join((method.encode(), _bytes(target), version.encode()))]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in (*kept, *fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


async def _talk(port: int, data: bytes, half_close: bool) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()

    async def write() -> None:
        # Envoy may answer and close before it has everything.
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if half_close:
                writer.write_eof()

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                received.extend(chunk)
                if not half_close and writer.can_write_eof() and _is_whole(received):
                    # Envoy waits a second for the rest of a request that it has refused. There is none.
                    writer.write_eof()

    try:
        await asyncio.gather(write(), read())
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(received)


_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _is_whole(data: bytes | bytearray) -> bool:
    head, blank, rest = bytes(data).removeprefix(_CONTINUE).partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
    return bool(blank) and length is not None and len(rest) >= int(length[1])


def read_answers(data: bytes) -> list[Answer]:
    """Every answer in what Envoy sent. It frames its own replies with a length."""
    answers: list[Answer] = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        assert blank, data
        status, *lines = head.decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1."), data
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        number = int(status.split(" ")[1])
        length = 0 if number < 200 else int(dict(headers)["content-length"])
        assert len(rest) >= length, data
        answers.append(Answer(number, headers, rest[:length]))
        data = rest[length:]
    return answers


def _without_uploads(roles: Mapping[str, Any]) -> dict[str, Any]:
    """The roles where there is no opaque route."""
    return {**roles, "permissions": {**roles["permissions"], "upload": {}}}


@contextlib.asynccontextmanager
async def hostile_world(simulator: str, issuer: Issuer, **entra: Any) -> AsyncIterator[World]:
    """A gateway whose policies are built as the product builds them, with keys fetched over HTTP from `issuer`."""
    async with serving() as provider:
        for tenant in (*issuer.tenants, "common"):
            for version, path in (("2.0", "/v2.0"), ("1.0", "")):
                keys = issuer.jwks(tenant, version)
                if tenant == "common" and version == "2.0":
                    keys["keys"].append(issuer.jwk("consumers", issuer=issuer.issuer(CONSUMERS)))
                if tenant == FABRIKAM:
                    keys["keys"].append(issuer.jwk(OF_FABRIKAM))
                metadata = issuer.metadata(tenant, version, base=provider.url)
                provider.answers[f"/{tenant}{path}/.well-known/openid-configuration"] = Document(metadata)
                provider.answers[f"/{tenant}/discovery{path}/keys"] = Document(keys)
        identity = {
            "audiences": [API, "api://gateway"],
            "tenants": [{"id": CONTOSO, "name": "contoso"}, {"id": FABRIKAM, "name": "fabrikam"}],
            "fetch_from": provider.url,
            **entra,
        }
        roles = ROLES if PROFILE == "plain" else _without_uploads(ROLES)
        policies = [{"policy": "entra", "settings": identity}, {"policy": "access", "settings": roles}]
        chain = assemble(settings(simulator, policies=policies))
        async with running_gateway(chain.links, simulator=simulator, timeouts={"idle": 3.0}) as gateway:
            world = World(gateway, issuer, issuer.token(roles=["User"]))
            await gateway.forget_arrived()
            yield world
