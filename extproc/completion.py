"""How an exchange ended: what every policy's `on_settle` is given, once, whatever happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from extproc.call import METERS, Call
from extproc.identity import Identity

F = TypeVar("F")


class Verdict(StrEnum):
    """What the chain said. NONE: Envoy ended the request before the chain could speak."""

    ALLOW = "allow"
    REJECT = "reject"
    RESPOND = "respond"
    NONE = "none"


class Ending(StrEnum):
    """How the exchange ended; `EndedBy` says who ended it."""

    ANSWERED = "answered"
    """The upstream's answer was delivered whole, whatever its status."""
    RESPONDED = "responded"
    """The gateway answered by itself (a cache hit, the list of models)."""
    REJECTED = "rejected"
    """A policy refused."""
    REFUSED = "refused"
    """Envoy refused before a verdict: malformed, too large, no verdict, policy server unavailable."""
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    """No connection, or none that held until the answer began; ended by the gateway: Envoy has no route to it."""
    UPSTREAM_CUT = "upstream_cut"
    """The upstream broke off in the middle of its answer."""
    TIMED_OUT = "timed_out"
    """A time limit of the gateway passed."""
    CLIENT_GONE = "client_gone"
    """The client went away before the answer was whole."""


class EndedBy(StrEnum):
    """Who ended the exchange."""

    UPSTREAM = "upstream"
    POLICY = "policy"
    GATEWAY = "gateway"
    CLIENT = "client"


class Meter(StrEnum):
    """Who counted the usage."""

    LUA = "lua"
    AI_GATEWAY = "ai_gateway"


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the provider reported them, in the provider's own meaning.

    OpenAI counts `cached_input` and `reasoning` inside `input` and `output`; Anthropic counts `cached_input` and
    `cache_write` beside `input`. Where the provider states no `total`, it is the sum of what it counts beside each other.

    Attributes:
        cache_write_1h: the part of `cache_write` that is kept for an hour.
        audio_input, audio_output: the parts of `input` and `output` that are audio.
        tool_calls: searches that the provider ran itself and bills for each.
        tier: the service tier as the answer says it; "" where it says none.
    """

    input: int = 0
    output: int = 0
    total: int = 0
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0
    meter: Meter = Meter.LUA
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    tool_calls: int = 0
    tier: str = ""


class Decision(msgspec.Struct, frozen=True):
    """One policy's say, where it was more than to continue."""

    policy: str
    outcome: str
    code: str = ""
    why: str = ""
    enforced: bool = True
    """False in shadow mode, and for a failure that was let pass (`failure: open`)."""


class Completion(msgspec.Struct, frozen=True):
    """One exchange, whole. (A frozen struct: a frozen dataclass of so many members takes 5 us to make.)

    Attributes:
        id: the exchange's id, minted at the decision; Envoy's stream id where there was no decision.
        request_id: `x-request-id`, as the client saw it.
        duration, first_byte: seconds from the request's first byte to the last and to the first byte sent to the client.
        bytes_in, bytes_out: body bytes from and to the client.
        usage: as reported by the provider; None if it reported none that we saw.
        output_floor: content chunks seen in a stream: at least so many output tokens were produced.
        upstream: the name of the upstream or agent that was chosen; None if none was.
        response_model: the model the provider says it used.
        backend, route: of Envoy AI Gateway, as `namespace/name`; None where it has no part in it.
        flags: Envoy's response flags.
        marks: what policies have said by `Exchange.flag`.
        details: Envoy's `response_code_details`.
        tier: the service tier as the answer names it, also where it tells no usage; "" where it names none.
        unsent: it was allowed, and then refused behind us before a byte of it went to an upstream.
    """

    id: str
    request_id: str
    method: str
    path: str
    status: int
    verdict: Verdict
    ending: Ending
    ended_by: EndedBy
    started: datetime
    duration: float
    first_byte: float | None
    bytes_in: int
    bytes_out: int
    usage: Usage | None = None
    output_floor: int = 0
    upstream: str | None = None
    response_model: str | None = None
    backend: str | None = None
    decisions: tuple[Decision, ...] = ()
    flags: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    details: str = ""
    facts: dict[type[Any], Any] = msgspec.field(default_factory=dict)
    route: str | None = None
    unsent: bool = False
    tier: str = ""

    def __repr__(self) -> str:
        # Facts say who it was: not in a message that somebody prints.
        return f"Completion({self.id}, {self.verdict}, {self.ending})"

    def get(self, kind: type[F]) -> F | None:
        """The fact of this type that travelled with the verdict, or None."""
        fact: F | None = self.facts.get(kind)
        return fact

    def put(self, fact: object) -> None:
        """Tell policies that settle after this one something: under its own type, in place of what stood there."""
        self.facts[type(fact)] = fact

    @property
    def identity(self) -> Identity | None:
        identity: Identity | None = self.facts.get(Identity)
        return identity

    @property
    def call(self) -> Call | None:
        call: Call | None = self.facts.get(Call)
        return call

    @property
    def unmetered(self) -> bool:
        """Whether tokens must have been used that nobody counted: an answer of a model without usage."""
        call = self.call
        return (
            call is not None
            and call.operation in METERS
            and self.ending is Ending.ANSWERED
            and 200 <= self.status < 300
            and self.usage is None
        )


def by_type(facts: Iterable[object]) -> dict[type[Any], Any]:
    """Facts keyed by their own type."""
    return {type(fact): fact for fact in facts}
