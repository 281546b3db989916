"""A policy that does what the request's headers tell it, so that one gateway serves every case."""

from __future__ import annotations

import asyncio

from extproc.call import Call
from extproc.exchange import Chunk, Exchange, ResponseBody
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Mutate, Reject, RequestOutcome, Respond
from extproc.policy import Policy, RequestAnswer, ResponseAnswer
from tests.ai_gateway import PROFILE

IDENTITY = Identity("tenant-1", "user-1", "app-1", CallerKind.USER, frozenset({"User"}))


class Obedient(Policy):
    """`x-test-headers` and `x-test-body` say what to answer; `x-test-response` how to read the response."""

    name = "obedient"
    provides = (Identity,)

    def __init__(self) -> None:
        self.seen: list[Chunk] = []
        self.cancelled = asyncio.Event()
        self.waiting = asyncio.Event()

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        exchange.put(IDENTITY)
        return self._obey(exchange.request.headers.get("x-test-headers"))

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        wish = exchange.request.headers.get("x-test-response")
        if wish is not None:
            exchange.want_response(ResponseBody[wish])
        if exchange.request.headers.get("x-test-members"):
            assert exchange.need(Call).model
            return Mutate(members=(("max_tokens", 3),), set_headers=(("x-from-policy", "yes"),))
        return self._obey(exchange.request.headers.get("x-test-body"))

    # In front of AI Gateway no policy reads responses.
    if PROFILE == "plain":

        def on_response_body(self, exchange: Exchange, chunk: Chunk) -> ResponseAnswer:
            self.seen.append(chunk)
            if exchange.request.headers.get("x-test-response-fails"):
                raise RuntimeError("told to fail")
            return Mutate(body=chunk.data.replace(b"assistant", b"ASSISTANT"))

    def _obey(self, order: str | None) -> RequestAnswer:
        match order:
            case None:
                return CONTINUE
            case "reject":
                return Reject(429, "too_many", "Slow down.", retry_after=1.5)
            case "respond":
                return Respond(b'{"from":"policy"}', headers=(("x-cache", "hit"),))
            case "raise":
                raise RuntimeError("told to raise: s3cret prompt")
            case waits:
                return self._wait(float(waits))

    async def _wait(self, seconds: float) -> RequestOutcome:
        self.waiting.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return CONTINUE
