"""The simulator as an ASGI application: reads a request, finds its API, answers as the request wished."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import orjson

from loadtests.simulator import chat, completions, embeddings, messages, plain, responses
from loadtests.simulator.replies import Ask, RefusedError, Reply, Whole, anthropic_error, dumps, missing, openai_error
from loadtests.simulator.sending import Receive, Send, gone_within, send_reply
from loadtests.simulator.tokens import Seed
from loadtests.simulator.wishes import BadWishError, Wishes
from loadtests.simulator.witness import Arrival, Witness

_MOST_BODY: Final = 64 * 1024 * 1024
_FOREVER: Final = 86_400.0

_APIS: Final[Mapping[str, Callable[[Ask], Reply]]] = {
    "chat/completions": chat.answer,
    "completions": completions.answer,
    "responses": responses.answer,
    "embeddings": embeddings.answer,
    "messages": messages.answer,
    "messages/count_tokens": messages.count,
}
_IN_DEPLOYMENTS: Final = frozenset({"chat/completions", "completions", "embeddings"})
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)/(.+)")
_VERSIONED: Final = re.compile(r"/(?:openai/)?v1/(.+)")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    arrival: Arrival

    @property
    def is_anthropic(self) -> bool:
        return "/messages" in self.path or "anthropic-version" in self.headers


@dataclass(slots=True)
class Simulator:
    """The ASGI application. All its state is what it has witnessed."""

    witness: Witness = field(default_factory=Witness)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        if scope["path"] == "/sim/requests":
            await send_reply(self._testify(scope["method"]), Wishes(), "req_sim", receive, send)
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        target = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        arrival = Arrival(scope["method"], f"{target}?{query}" if query else target, headers)
        self.witness.saw(arrival)
        body = await _read(receive)
        if body is None:
            return
        arrival.close(body)
        await _serve(_Request(scope["method"], target, query, dict(headers), body, arrival), receive, send)

    def _testify(self, method: str) -> Whole:
        if method == "DELETE":
            self.witness.clear()
        return Whole(dumps(self.witness.told()))


async def _serve(request: _Request, receive: Receive, send: Send) -> None:
    request_id = Seed.of(request.method, request.path, request.arrival.body_sha256).identifier("req_")
    try:
        wishes = Wishes.read(request.headers)
    except BadWishError as error:
        await send_reply(openai_error(RefusedError(400, str(error))), Wishes(), request_id, receive, send)
        return
    if wishes.latency > 0 and await gone_within(wishes.latency, receive):
        return
    if wishes.hang:
        await gone_within(_FOREVER, receive)
        return
    try:
        reply = _answer(request, wishes)
    except RefusedError as refusal:
        reply = anthropic_error(refusal, request_id) if request.is_anthropic else openai_error(refusal)
    await send_reply(reply, wishes, request_id, receive, send)


def _answer(request: _Request, wishes: Wishes) -> Reply:
    if len(request.body) > _MOST_BODY:
        raise RefusedError(413, "The request body is too large.")
    if wishes.status is not None:
        raise RefusedError(wishes.status, "The simulator was asked to fail.")
    if azure := _DEPLOYMENT.fullmatch(request.path):
        if azure[2] not in _IN_DEPLOYMENTS or not parse_qs(request.query).get("api-version"):
            raise RefusedError(404, "Resource not found", code="404")
        return _call(azure[2], request, wishes, unquote(azure[1]))
    versioned = _VERSIONED.fullmatch(request.path)
    if versioned is None:
        if request.path.startswith(("/v1", "/openai")):
            raise _unknown(request)
        return plain.echo(request.arrival)
    name = versioned[1]
    if name in _APIS:
        return _call(name, request, wishes, None)
    collection, _, rest = name.partition("/")
    if collection == "models" and request.method == "GET":
        return plain.models(unquote(rest), anthropic=request.is_anthropic)
    if collection == "files":
        return plain.files(request.method, rest, request.body)
    raise _unknown(request)


def _unknown(request: _Request) -> RefusedError:
    return RefusedError(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")


def _call(name: str, request: _Request, wishes: Wishes, deployment: str | None) -> Reply:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}", code="method_not_supported")
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise RefusedError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body is not a JSON object.")
    model = deployment or body.get("model")
    if not isinstance(model, str) or not model:
        raise missing("model")
    return _APIS[name](Ask(body, model, wishes))


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when the client left before it was whole. More than the limit is read, not kept."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        if size <= _MOST_BODY:
            pieces.append(piece)
        size += len(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
