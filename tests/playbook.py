"""Conversations with Envoy, written as plays.

    play(conversation).envoy(headers("POST", CHAT)).server("request_headers: go on").envoy(body(...)).server("…").end()

`envoy` speaks a message; `server` says in one line what the answer must be (see `summary`). A play that is not brought
to its end fails, and a wrong line shows the transcript so far.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final

from extproc.conversation import Conversation, State
from extproc.protos import Message, ProcessingMode, ProcessingRequest, ProcessingResponse
from extproc.transport import ProtocolError

JSON: Final = ("content-type", "application/json")


def headers(method: str, path: str, *fields: tuple[str, str], end: bool = False, request_id: str = "req-1") -> Message:
    """Request headers as Envoy sends them."""
    message = ProcessingRequest()
    part = message.request_headers
    part.end_of_stream = end
    for name, value in ((":method", method), (":path", path), (":authority", "gateway"), (":scheme", "http")):
        part.headers.headers.add(key=name, raw_value=value.encode())
    for name, value in (("x-request-id", request_id), *fields):
        part.headers.headers.add(key=name, raw_value=value.encode("utf-8", "surrogateescape"))
    return message


def body(data: bytes | Mapping[str, Any], *, end: bool = True) -> Message:
    """The buffered request body."""
    message = ProcessingRequest()
    message.request_body.body = data if isinstance(data, bytes) else json.dumps(data).encode()
    message.request_body.end_of_stream = end
    return message


def request_trailers() -> Message:
    message = ProcessingRequest()
    message.request_trailers.SetInParent()
    return message


def response_headers(status: int = 200, *fields: tuple[str, str], end: bool = False) -> Message:
    """Response headers as Envoy sends them."""
    message = ProcessingRequest()
    part = message.response_headers
    part.end_of_stream = end
    for name, value in ((":status", str(status)), *fields):
        part.headers.headers.add(key=name, raw_value=value.encode())
    return message


def response_body(data: bytes, *, end: bool = False) -> Message:
    message = ProcessingRequest()
    message.response_body.body = data
    message.response_body.end_of_stream = end
    return message


def response_trailers() -> Message:
    message = ProcessingRequest()
    message.response_trailers.SetInParent()
    return message


def metadata(reply: Message) -> dict[str, Any]:
    """The scalars and facts that leave with a reply."""
    values: dict[str, Any] = {}
    for name, value in reply.dynamic_metadata.fields["sluicegate"].struct_value.fields.items():
        values[name] = getattr(value, value.WhichOneof("kind"))
    if "facts" in values:
        values["facts"] = json.loads(values["facts"])
    return values


def set_fields(reply: Message) -> dict[str, str]:
    """The header fields that a reply sets."""
    kind = reply.WhichOneof("response")
    part = getattr(reply, kind)
    mutation = part.headers if kind == "immediate_response" else part.response.header_mutation
    return {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}


def summary(reply: Message) -> str:
    """A reply in one line: which message it answers, the verdict or the change, and the mode it asks for."""
    kind = reply.WhichOneof("response")
    said = metadata(reply).get("verdict") if reply.HasField("dynamic_metadata") else None
    if kind == "immediate_response":
        part = reply.immediate_response
        return f"{said} {part.status.code} {part.details.removeprefix('sluicegate_')}"
    words = [f"{kind}:"]
    common = getattr(reply, kind).response if kind in _WITH_COMMON else None
    words.append(f"{said} {set_fields(reply).get('x-sluicegate-upstream')}" if said else "go on")
    if common is not None and common.body_mutation.body and said is None:
        words.append(f"body {common.body_mutation.body.decode()}")
    if reply.HasField("mode_override"):
        mode = reply.mode_override
        names = ProcessingMode.BodySendMode.Name
        words.append(f"[request body {names(mode.request_body_mode)}, response body {names(mode.response_body_mode)}")
        words.append("response headers")
        words.append(f"{ProcessingMode.HeaderSendMode.Name(mode.response_header_mode)}]")
    return " ".join(words)


_WITH_COMMON: Final = {"request_headers", "request_body", "response_headers", "response_body"}


class Play:
    """A conversation in the telling. Use as a context manager: leaving it unfinished is an error."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.replies: list[Message] = []
        self.waited: list[bool] = []
        self._transcript: list[str] = []
        self._unheard: Message | None = None

    def __enter__(self) -> Play:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            assert self._unheard is None, self._told("an answer was given and not looked at")

    async def envoy(self, message: Message) -> Play:
        """Envoy says `message`."""
        assert self._unheard is None, self._told("Envoy speaks before the last answer was looked at")
        self._transcript.append(f">> {message.WhichOneof('request')}")
        answer = self.conversation.receive(message.SerializeToString())
        self.waited.append(isawaitable(answer))
        if isawaitable(answer):
            async with asyncio.timeout(5):
                answer = await answer
        self._unheard = ProcessingResponse.FromString(answer)
        self.replies.append(self._unheard)
        return self

    def server(self, line: str) -> Play:
        """The answer must read like this."""
        assert self._unheard is not None, self._told("the server was asked nothing")
        said = summary(self._unheard)
        self._transcript.append(f"<< {said}")
        self._unheard = None
        assert said == line, self._told(f"expected: << {line}")
        return self

    def refuses(self, message: Message) -> Play:
        """Envoy says what no conversation holds."""
        try:
            self.conversation.receive(message.SerializeToString())
        except ProtocolError:
            return self
        raise AssertionError(self._told(f"{message.WhichOneof('request')} should not have been answered"))

    def ends(self, state: State, *, cleanly: bool) -> None:
        """The play is over in this state; whether the stream may end cleanly."""
        assert self._unheard is None, self._told("an answer was given and not looked at")
        assert self.conversation.state is state, self._told(f"ended in {self.conversation.state}, not {state}")
        assert self.conversation.may_end is cleanly, self._told("may_end is wrong")

    def _told(self, complaint: str) -> str:
        return "\n".join((*self._transcript, complaint))


async def tell(conversation: Conversation, lines: Iterable[tuple[Message, str]]) -> Play:
    """A whole play at once: pairs of what Envoy says and how the answer must read."""
    play = Play(conversation)
    for message, line in lines:
        (await play.envoy(message)).server(line)
    return play
