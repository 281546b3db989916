"""Envoy's ext_proc conversation about one HTTP request, as a state machine without I/O.

One `Conversation` for each gRPC stream. `receive` takes a message and gives the answer at once, or an awaitable of it
when a policy must wait. The transport may end the stream cleanly only where `may_end` says so: **a clean end before the
verdict would let the request pass** (external_processor.proto), so every other end must be an error.

Theory of operation. Envoy sends request headers, then (unless told otherwise) the buffered request body; we answer each
message exactly once. The verdict is the last answer on the request's side. Where a policy may want the response, response
headers and body follow on the same stream. Three more openings are legal and do not start with request headers:

- a stream that begins at `response_headers`: an earlier filter answered by itself; there is nothing left to decide;
- trailers, on either side, which carry nothing that we judge;
- nothing at all: the client went away first.

Every transition is in `_HANDLERS`; what is not there is a protocol error.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

from extproc import envoy_messages as messages
from extproc.call import Call, Endpoint, Payload
from extproc.chain import Course, VerdictOutcome
from extproc.completion import Verdict
from extproc.dialects import id_fields, render
from extproc.edits import hides_usage
from extproc.endpoints import dialect_of
from extproc.envoy_requests import Field, Part, RequestReader
from extproc.exchange import Chunk, Exchange, Headers, Request, Response, ResponseBody
from extproc.gate import Gate, Judgement, Passage, then
from extproc.outcome import Reject, Respond
from extproc.transport import ProtocolError
from extproc.travel import NAMESPACE, Travel, scalars

Reply: TypeAlias = bytes | Awaitable[bytes]
"""A `ProcessingResponse`, now or later."""

_log = logging.getLogger(__name__)
_reader: Final = RequestReader()
_BODY_MODES: Final = {
    ResponseBody.NONE: messages.NONE,
    ResponseBody.STREAMED: messages.STREAMED,
    ResponseBody.BUFFERED: messages.BUFFERED,
}


class State(StrEnum):
    """Where a conversation stands."""

    OPENED = "opened"
    """Nothing received yet."""
    AWAITING_BODY = "awaiting body"
    """The headers passed; the verdict waits for the body."""
    ALLOWED = "allowed"
    """The verdict is given; the response may follow, where a policy may want it."""
    ANSWERED = "answered"
    """We answered the client ourselves; Envoy sends nothing more that counts."""
    BYSTANDER = "bystander"
    """The stream began at the response: an earlier filter has answered."""


class Conversation:
    """The state of one ext_proc stream. `receive` is called for one message at a time."""

    __slots__ = ("_course", "_deciding", "_gate", "_mint", "_travel", "state")

    def __init__(self, gate: Gate, travel: Travel, mint: Callable[[], str]) -> None:
        """`mint` makes the exchange's id: unique for ever, not to be guessed."""
        self._gate = gate
        self._travel = travel
        self._mint = mint
        self._course: Course | None = None
        self._deciding = False
        self.state = State.OPENED

    @property
    def may_end(self) -> bool:
        """Whether the stream may end cleanly now."""
        return self.state in (State.ALLOWED, State.ANSWERED, State.BYSTANDER)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come that needs an answer: the transport may end the stream."""
        if self.state is State.ALLOWED:
            # Envoy sends nothing of the response. Left open, the stream would last as long as the answer.
            return not self._gate.chain.may_read_responses
        return self.state is State.ANSWERED

    def receive(self, data: bytes) -> Reply:
        """The answer to a `ProcessingRequest` of Envoy.

        Raises:
            ProtocolError: the message is not legal in this state, or is none.
        """
        # Whatever was decided before has been sent: a transport asks for one answer at a time.
        self._deciding = False
        part = _reader.read(data)
        handler = _HANDLERS.get((self.state, part.kind))
        if handler is None:
            raise ProtocolError(f"{part.kind} is not legal when {self.state.value}")
        return handler(self, part)

    def abandon(self) -> None:
        """The answer to the last message is not sent. Where it would have been the verdict, the policies are told."""
        if self._deciding and self._course is not None:
            self._deciding = False
            self._gate.chain.abandon(self._course)

    # The request

    def _request_headers(self, part: Part) -> Reply:
        self._deciding = True
        course = Course(Exchange(self._mint(), read_request(part.fields)))
        self._course = course

        def judged(judgement: Judgement | None) -> Reply:
            if judgement is not None:
                return self._verdict_at_headers(judgement)
            if part.last:
                return then(self._gate.body(course, b""), self._verdict_at_headers)
            return self._ask_for_body()

        return then(self._gate.headers(course), judged)

    def _request_body(self, part: Part) -> Reply:
        self._deciding = True
        return then(self._gate.body(self._known(), part.body), self._verdict_at_body)

    def _ask_for_body(self) -> bytes:
        self.state = State.AWAITING_BODY
        return messages.go_on(
            "request_headers", self._mode(messages.BUFFERED) if self._gate.chain.may_read_responses else b""
        )

    def _verdict_at_headers(self, judgement: Judgement) -> Reply:
        return self._verdict(judgement, at_headers=True)

    def _verdict_at_body(self, judgement: Judgement) -> Reply:
        return self._verdict(judgement, at_headers=False)

    def _verdict(self, judgement: Judgement, *, at_headers: bool) -> Reply:
        chain = self._gate.chain
        if not chain.hears_verdicts:
            return self._give(judgement, at_headers=at_headers)
        outcome = None if isinstance(judgement, Passage) else judgement

        def told(final: VerdictOutcome | None) -> bytes:
            return self._give(judgement if final is None else final, at_headers=at_headers)

        return then(chain.decided(self._known(), outcome), told)

    def _give(self, judgement: Judgement, *, at_headers: bool) -> bytes:
        match judgement:
            case Passage():
                return self._allow(judgement, at_headers=at_headers)
            case Reject():
                return self._answer(judgement, Verdict.REJECT)
            case Respond():
                return self._answer(judgement, Verdict.RESPOND)

    def _allow(self, passage: Passage, *, at_headers: bool) -> bytes:
        course = self._known()
        mutation = [messages.remove_headers(passage.remove_headers)]
        for name, value in passage.set_headers:
            mutation.append(messages.set_header(name, value))
        if passage.body is not None:
            mutation.append(messages.set_header("content-length", str(len(passage.body))))
        beside = self._metadata(course, Verdict.ALLOW)
        # The answer may last for minutes, and the body be large.
        exchange = course.exchange
        exchange.body = None
        exchange.forget(Payload)
        if at_headers:
            beside += self._mode(messages.NONE)
        self.state = State.ALLOWED
        return messages.allow(at_headers=at_headers, mutation=mutation, body=passage.body, beside=beside)

    def _answer(self, outcome: VerdictOutcome, verdict: Verdict) -> bytes:
        course = self._known()
        exchange = course.exchange
        request_id = exchange.request.request_id
        endpoint = exchange.get(Endpoint)
        dialect = endpoint.dialect if endpoint else dialect_of(exchange.request)
        if isinstance(outcome, Reject):
            body, headers = render(outcome, dialect, request_id)
            details = f"sluicegate_{outcome.code}"
        else:
            body = outcome.body
            headers = [("content-type", outcome.content_type), *id_fields(dialect, request_id), *outcome.headers]
            details = "sluicegate_respond"
        if exchange.told is not None:
            own = {name.lower() for name, _ in headers}
            headers.extend((name, value) for name, value in self._told(exchange.told).items() if name not in own)
        mutation = [messages.set_header(name, value, append=name == "www-authenticate") for name, value in headers]
        answer = messages.immediate(outcome.status, mutation, body, details, self._metadata(course, verdict))
        self.state = State.ANSWERED
        return answer

    def _metadata(self, course: Course, verdict: Verdict) -> bytes:
        exchange = course.exchange
        once = {"exchange": exchange.id, "facts": self._travel.pack(exchange, course.decisions)}
        if exchange.told is not None and verdict is Verdict.ALLOW:
            # Envoy adds them to the upstream's answer.
            once |= self._told(exchange.told)
        return messages.metadata(NAMESPACE, scalars(exchange, verdict) + messages.entries(once))

    def _told(self, told: Mapping[str, str]) -> Mapping[str, str]:
        """What the client is told, of the fields that are declared: Envoy knows no others."""
        declared = self._gate.chain.response_fields
        if told.keys() <= declared:
            return told
        _log.debug("response fields that no policy declares: %s", ", ".join(sorted(set(told) - declared)))
        return {name: value for name, value in told.items() if name in declared}

    def _mode(self, request_body: int) -> bytes:
        """How the rest is to be sent."""
        answers = messages.SEND if self._gate.chain.may_read_responses else messages.SKIP
        return messages.mode(request_body=request_body, response_headers=answers)

    # The response

    def _response_headers(self, part: Part) -> Reply:
        exchange = self._known().exchange
        headers = Headers(part.fields)
        status = headers.get(":status") or "0"
        exchange.put(Response(int(status) if status.isdigit() else 0, headers))
        wanted = exchange.response_wanted
        mutation = b""
        if not part.last and (wanted is not ResponseBody.NONE or self._hides_usage()):
            # A policy may change the length; and Envoy's Lua writes the length of the first chunk that it changes into
            # headers that still wait here. Envoy frames what it has.
            mutation = messages.remove_headers(("content-length",))
        mode = messages.mode(response_headers=messages.SEND, response_body=_BODY_MODES[wanted])
        return messages.response_headers(mutation, mode)

    def _hides_usage(self) -> bool:
        call = self._known().exchange.get(Call)
        return call is not None and hides_usage(call)

    def _response_body(self, part: Part) -> Reply:
        return self._read_response(Chunk(part.body, part.last))

    async def _read_response(self, chunk: Chunk) -> bytes:
        data = await self._gate.chain.response_body(self._known(), chunk)
        return messages.go_on("response_body") if data == chunk.data else messages.response_body(data)

    def _late_response(self, part: Part) -> Reply:
        """The response of somebody else's making: nothing is left to decide, and nothing is changed."""
        if self.state is State.OPENED:
            self.state = State.BYSTANDER
        return messages.go_on(part.kind)

    def _trailers(self, part: Part) -> Reply:
        return messages.go_on(part.kind)

    def _known(self) -> Course:
        if self._course is None:
            raise ProtocolError("nothing is known of this exchange yet")
        return self._course


_HANDLERS: Final[Mapping[tuple[State, str], Callable[[Conversation, Part], Reply]]] = {
    (State.OPENED, "request_headers"): Conversation._request_headers,
    (State.OPENED, "response_headers"): Conversation._late_response,
    (State.AWAITING_BODY, "request_body"): Conversation._request_body,
    # Envoy answered by itself while it waited for the body (too large, timed out).
    (State.AWAITING_BODY, "response_headers"): Conversation._late_response,
    (State.AWAITING_BODY, "response_body"): Conversation._late_response,
    (State.ALLOWED, "request_trailers"): Conversation._trailers,
    (State.ALLOWED, "response_headers"): Conversation._response_headers,
    (State.ALLOWED, "response_body"): Conversation._response_body,
    (State.ALLOWED, "response_trailers"): Conversation._trailers,
    (State.BYSTANDER, "response_body"): Conversation._late_response,
    (State.BYSTANDER, "response_trailers"): Conversation._late_response,
    (State.ANSWERED, "response_headers"): Conversation._late_response,
    (State.ANSWERED, "response_body"): Conversation._late_response,
    (State.ANSWERED, "response_trailers"): Conversation._late_response,
}


def read_request(fields: Sequence[Field]) -> Request:
    """The request line and fields of an Envoy header map."""
    line = 0
    for name, _ in fields:
        if name[:1] != ":":
            # Envoy keeps the request line in front (its HeaderMapImpl): only what stands there is one.
            break
        line += 1
    pseudo = dict(fields[:line])
    headers = Headers(fields[line:])
    path, _, query = pseudo.get(":path", "").partition("?")
    return Request(
        method=pseudo.get(":method", ""),
        path=path,
        query=query,
        authority=pseudo.get(":authority", ""),
        scheme=pseudo.get(":scheme", ""),
        headers=headers,
        request_id=headers.get("x-request-id") or "",
    )
