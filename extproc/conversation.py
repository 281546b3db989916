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

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from extproc.call import Call, Endpoint
from extproc.chain import Course, VerdictOutcome
from extproc.completion import Verdict
from extproc.dialects import id_fields, render
from extproc.edits import hides_usage
from extproc.endpoints import dialect_of
from extproc.exchange import Chunk, Exchange, Headers, Request, Response, ResponseBody
from extproc.gate import Gate, Judgement, Passage, then
from extproc.outcome import Reject, Respond
from extproc.protos import DecodeError, HeaderValueOption, Message, ProcessingMode, ProcessingRequest, ProcessingResponse
from extproc.transport import ProtocolError
from extproc.travel import NAMESPACE, Travel, scalars

Reply: TypeAlias = Message | Awaitable[Message]
"""A `ProcessingResponse`, now or later."""

_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.Value("OVERWRITE_IF_EXISTS_OR_ADD")
_APPEND: Final = HeaderValueOption.HeaderAppendAction.Value("APPEND_IF_EXISTS_OR_ADD")
_SEND: Final = ProcessingMode.HeaderSendMode.Value("SEND")
_SKIP: Final = ProcessingMode.HeaderSendMode.Value("SKIP")
_BODY_MODES: Final = {
    ResponseBody.NONE: ProcessingMode.BodySendMode.Value("NONE"),
    ResponseBody.STREAMED: ProcessingMode.BodySendMode.Value("STREAMED"),
    ResponseBody.BUFFERED: ProcessingMode.BodySendMode.Value("BUFFERED"),
}
_REQUEST_NONE: Final = ProcessingMode.BodySendMode.Value("NONE")
_REQUEST_BUFFERED: Final = ProcessingMode.BodySendMode.Value("BUFFERED")


class State(Enum):
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

    __slots__ = ("_course", "_gate", "_mint", "_travel", "state")

    def __init__(self, gate: Gate, travel: Travel, mint: Callable[[], str], *, steps: bool = False) -> None:
        """`mint` makes the exchange's id: unique for ever, not to be guessed."""
        self._gate = gate
        self._travel = travel
        self._mint = mint
        self._course: Course | None = None
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

    def receive(self, data: bytes) -> bytes | Awaitable[bytes]:
        """The answer to a `ProcessingRequest` of Envoy.

        Raises:
            ProtocolError: the message is not legal in this state, or is none.
        """
        try:
            message = ProcessingRequest.FromString(data)
        except DecodeError:
            raise ProtocolError("not a ProcessingRequest") from None
        kind = message.WhichOneof("request")
        handler = _HANDLERS.get((self.state, kind))
        if handler is None:
            raise ProtocolError(f"{kind} is not legal when {self.state.value}")
        return then(handler(self, message), _serialized)

    # The request

    def _request_headers(self, message: Message) -> Reply:
        part = message.request_headers
        request = read_request(part.headers.headers)
        course = Course(Exchange(self._mint(), request))
        self._course = course

        def judged(judgement: Judgement | None) -> Reply:
            if judgement is not None:
                return self._verdict_at_headers(judgement)
            if part.end_of_stream:
                return then(self._gate.body(course, b""), self._verdict_at_headers)
            return self._ask_for_body()

        return then(self._gate.headers(course), judged)

    def _request_body(self, message: Message) -> Reply:
        return then(self._gate.body(self._known(), message.request_body.body), self._verdict_at_body)

    def _ask_for_body(self) -> Message:
        self.state = State.AWAITING_BODY
        response = ProcessingResponse()
        response.request_headers.SetInParent()
        if self._gate.chain.may_read_responses:
            self._override(response, _REQUEST_BUFFERED)
        return response

    def _verdict_at_headers(self, judgement: Judgement) -> Message:
        return self._verdict(judgement, at_headers=True)

    def _verdict_at_body(self, judgement: Judgement) -> Message:
        return self._verdict(judgement, at_headers=False)

    def _verdict(self, judgement: Judgement, *, at_headers: bool) -> Message:
        match judgement:
            case Passage():
                return self._allow(judgement, at_headers=at_headers)
            case Reject():
                return self._answer(judgement, Verdict.REJECT)
            case Respond():
                return self._answer(judgement, Verdict.RESPOND)

    def _allow(self, passage: Passage, *, at_headers: bool) -> Message:
        response = ProcessingResponse()
        part = response.request_headers if at_headers else response.request_body
        common = part.response
        mutation = common.header_mutation
        mutation.remove_headers.extend(passage.remove_headers)
        for name, value in passage.set_headers:
            _set(mutation, name, value)
        if passage.body is not None:
            common.body_mutation.body = passage.body
            _set(mutation, "content-length", str(len(passage.body)))
        # The route was chosen before anything was decided: choose it again.
        common.clear_route_cache = True
        if at_headers:
            self._override(response, _REQUEST_NONE)
        self._put_metadata(response, Verdict.ALLOW)
        self.state = State.ALLOWED
        return response

    def _answer(self, outcome: VerdictOutcome, verdict: Verdict) -> Message:
        exchange = self._known().exchange
        request_id = exchange.request.request_id
        response = ProcessingResponse()
        immediate = response.immediate_response
        immediate.status.code = outcome.status
        endpoint = exchange.get(Endpoint)
        dialect = endpoint.dialect if endpoint else dialect_of(exchange.request)
        if isinstance(outcome, Reject):
            immediate.body, headers = render(outcome, dialect, request_id)
            immediate.details = f"sluicegate_{outcome.code}"
        else:
            immediate.body = outcome.body
            headers = [("content-type", outcome.content_type), *id_fields(dialect, request_id), *outcome.headers]
            immediate.details = "sluicegate_respond"
        for name, value in headers:
            _set(immediate.headers, name, value, append=name == "www-authenticate")
        self._put_metadata(response, verdict)
        self.state = State.ANSWERED
        return response

    def _put_metadata(self, response: Message, verdict: Verdict) -> None:
        course = self._known()
        fields = response.dynamic_metadata.fields[NAMESPACE].struct_value.fields
        for name, value in scalars(course.exchange, verdict).items():
            if isinstance(value, bool):
                fields[name].bool_value = value
            else:
                fields[name].string_value = value
        fields["facts"].string_value = self._travel.pack(course.exchange, course.decisions)

    def _override(self, response: Message, request_body: int) -> None:
        """Say how the rest is to be sent. An override replaces the whole mode, so it names every part."""
        mode = response.mode_override
        mode.request_body_mode = request_body
        mode.response_header_mode = _SEND if self._gate.chain.may_read_responses else _SKIP
        mode.request_trailer_mode = _SKIP
        mode.response_trailer_mode = _SKIP

    # The response

    def _response_headers(self, message: Message) -> Reply:
        exchange = self._known().exchange
        headers = read_headers(message.response_headers.headers.headers)
        status = headers.get(":status") or "0"
        exchange.put(Response(int(status) if status.isdigit() else 0, headers))
        response = ProcessingResponse()
        response.response_headers.SetInParent()
        mutation = response.response_headers.response.header_mutation
        wanted = exchange.response_wanted
        mode = response.mode_override
        mode.response_header_mode = _SEND
        mode.response_body_mode = _BODY_MODES[wanted]
        mode.response_trailer_mode = _SKIP
        if not message.response_headers.end_of_stream and (wanted is not ResponseBody.NONE or self._hides_usage()):
            # A policy may change the length; and Envoy's Lua writes the length of the first chunk that it changes into
            # headers that still wait here. Envoy frames what it has.
            mutation.remove_headers.append("content-length")
        return response

    def _hides_usage(self) -> bool:
        call = self._known().exchange.get(Call)
        return call is not None and hides_usage(call)

    def _response_body(self, message: Message) -> Reply:
        part = message.response_body
        return self._read_response(Chunk(part.body, part.end_of_stream))

    async def _read_response(self, chunk: Chunk) -> Message:
        data = await self._gate.chain.response_body(self._known(), chunk)
        response = ProcessingResponse()
        response.response_body.SetInParent()
        common = response.response_body.response
        if data != chunk.data:
            common.body_mutation.body = data
        return response

    def _late_response(self, message: Message) -> Reply:
        """The response of somebody else's making: nothing is left to decide, and nothing is changed."""
        if self.state is State.OPENED:
            self.state = State.BYSTANDER
        response = ProcessingResponse()
        getattr(response, message.WhichOneof("request")).SetInParent()
        return response

    def _trailers(self, message: Message) -> Reply:
        response = ProcessingResponse()
        getattr(response, message.WhichOneof("request")).SetInParent()
        return response

    def _known(self) -> Course:
        if self._course is None:
            raise ProtocolError("nothing is known of this exchange yet")
        return self._course


_HANDLERS: Final[Mapping[tuple[State, str | None], Callable[[Conversation, Message], Reply]]] = {
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


def _serialized(response: Message) -> bytes:
    data: bytes = response.SerializeToString()
    return data


def _set(mutation: Message, name: str, value: str, *, append: bool = False) -> None:
    option = mutation.set_headers.add()
    option.header.key = name
    option.header.raw_value = value.encode()
    option.append_action = _APPEND if append else _OVERWRITE


def read_headers(fields: Message) -> Headers:
    """Envoy's header map. Values that are no UTF-8 keep their bytes as surrogate escapes: equal to nothing of ours."""
    return Headers(
        (field.key, (field.raw_value or field.value.encode()).decode("utf-8", "surrogateescape")) for field in fields
    )


def read_request(fields: Message) -> Request:
    """The request line and fields of an Envoy header map."""
    headers = read_headers(fields)
    pseudo = {name: value for name, value in headers if name.startswith(":")}
    path, _, query = pseudo.get(":path", "").partition("?")
    return Request(
        method=pseudo.get(":method", ""),
        path=path,
        query=query,
        authority=pseudo.get(":authority", ""),
        scheme=pseudo.get(":scheme", ""),
        headers=Headers(item for item in headers if not item[0].startswith(":")),
        request_id=headers.get("x-request-id") or "",
    )
