"""What stands in the journal: one record for each thing that happened, flat, under the platform's own field names.

A record is one line of JSON in canonical form (`policies.audit.canonical`): members in the order of their names, no
member without a value, whole numbers and no others. Where the Elastic Common Schema (ECS 8.17) has a name for what the
platform has no name of its own, it is ECS's, dotted.

Every exchange has one decision record, written before anything goes up, and one closing record, written when it is
settled; both carry `exchange_id`. Whatever else is worth a record stands alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

SCHEMA: Final = 1
"""The version of this schema. It changes when a reader of the former one would misread a record."""


class Kind(StrEnum):
    """What a record is: the half of an exchange that it tells, or an event of its own."""

    DECISION = "decision"
    CLOSING = "closing"
    EVENT = "event"


class Level(StrEnum):
    """How much attention it wants, for people and SIEMs."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Name(StrEnum):
    """The events. Those of decisions say what was decided."""

    ALLOWED = "request.allowed"
    RESPONDED = "request.responded"
    """The gateway answered by itself."""
    REFUSED = "request.refused"
    UNDECIDED = "request.undecided"
    """Envoy ended it before there was a verdict, or none arrived."""
    AUTHENTICATION_REFUSED = "authentication.refused"
    ACCESS_REFUSED = "access.refused"
    LIMIT_REACHED = "limit.reached"
    CLOSED = "request.closed"
    AUTHENTICATION_ACCEPTED = "authentication.accepted"
    """A token was seen, and accepted, for the first time by this process."""
    SESSION_BEGUN = "session.begun"
    SESSION_ENDED = "session.ended"
    LIMIT_CHANGED = "limit.changed"
    LEASE_EXPIRED = "limit.lease_expired"
    """A reservation was never settled: it is charged as it was made."""
    HOLD_PLACED = "hold.placed"
    HOLD_RELEASED = "hold.released"
    """What retention must leave, and may take again: by whom."""
    RETENTION_APPLIED = "retention.applied"
    CONFIGURATION_LOADED = "configuration.loaded"
    JOURNAL_OPENED = "journal.opened"
    JOURNAL_CLOSED = "journal.closed"
    JOURNAL_WITNESSED = "journal.witnessed"
    """How far other journals are, named by one that was open already."""
    JOURNAL_GAP = "journal.gap"
    """Records were dropped here: `lost` says how many."""


class Said(Struct, frozen=True, omit_defaults=True):
    """What one policy said, where it was more than to go on."""

    code: str = ""
    enforced: bool = True
    outcome: str = ""
    policy: str = ""
    why: str = ""


class Reserved(Struct, frozen=True, omit_defaults=True):
    """What was reserved for the exchange before it went up: tokens, weighted tokens, and micro-dollars where there is a
    price."""

    dollars: int | None = None
    input: int = 0
    output: int = 0
    tokens: int = 0


class Timing(Struct, frozen=True):
    """How long one policy took before the verdict, with what it waited for."""

    microseconds: int
    policy: str


class Tokens(Struct, frozen=True, omit_defaults=True):
    """What was used, as it is billed: cached input, cache writes (those kept for an hour apart) and audio stand beside
    `input`, audio beside `output`, reasoning inside it; `total` is the sum of all tokens but reasoning. `tool_calls` are
    searches that the provider ran itself. `weighted` is what limits count."""

    cache_write: int = 0
    cached_input: int = 0
    input: int = 0
    output: int = 0
    reasoning: int = 0
    total: int = 0
    weighted: int = 0
    audio_input: int = 0
    audio_output: int = 0
    cache_write_1h: int = 0
    tool_calls: int = 0

    @property
    def taken(self) -> int:
        """All tokens of input."""
        return self.input + self.cached_input + self.cache_write + self.cache_write_1h + self.audio_input

    @property
    def made(self) -> int:
        """All tokens of output."""
        return self.output + self.audio_output


Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Moment = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]


class Record(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the journal, but for its `hash`, which `policies.audit.canonical` puts at its end.

    Times are UTC with microseconds. Identifiers and whatever a client chose are redacted before they come here. Members
    that are left out have no value.

    Attributes:
        accounts: under whose limits the reservation is: the tenant's, and `*` for those of all tenants together.
        action, by, subject: of an administrative change: what was done, who says that they did it, and to what.
        after, before: of an administrative change, what it is and was, as text.
        app_id: the client application that called.
        backend: the provider's backend behind the upstream.
        basis: where `tokens` come from: `metered`, `chunks`, `estimate`, `nothing`.
        bytes_in, bytes_out: of bodies, from and to the client.
        cache: `hit`, `miss`, … where a cache was asked.
        caller: `user` or `app`.
        configuration: the first 16 hexadecimal digits of the SHA-256 of the configuration that decided.
        cost: US dollars, a decimal with six places; left out where no price is known.
        decision: `allow`, `reject`, `respond`, `none`.
        details: Envoy's response code details.
        ended_by, ending: how the exchange ended (`extproc.completion`); `lost` where nothing was heard of its end.
        exchange_id: unique for ever; the decision and the closing of an exchange share it.
        first_byte_us: microseconds from the request's first byte to the first byte of the answer.
        journal, sequence: who wrote it, and the how manieth of that writer it is: together the id of the record.
        latency_ms, latency_us: from the request's first byte to the answer's last.
        lost: of a gap, how many records are missing.
        of: of an event that may be told more than once: what tells it from every other.
        params: parameters of the call without prompts; messages where the tenant opted in. Numbers that are not whole
            stand as text.
        policy, reason, why: which policy refused, its code, and what it says to operators.
        price: which price `cost` was worked out with: `configured`, `contract:<name>`, `list:<list>`, `fallback`; of a
            service tier with its name behind a slash.
        previous: the hash of the record before it; 64 zeros in the first.
        recovered: it was not written when it happened: `decision` from the closing, `closing` because none came.
        redacted: something in it was replaced, for it was a secret, or of a person.
        requests: how many requests the exchange counts as: 0 where nothing went up.
        reservation_id: under which its reservation is known to the limits.
        reserved: what was reserved.
        result: `success`, `refused`, `failure`, `aborted`; of events `success` or `failure`.
        started: of a closing, when the exchange began.
        timings: of a decision, how long each policy took, in the order in which they were asked; where a sink wants it.
        tool: of MCP calls.
        upstream: where it went.
    """

    accounts: tuple[str, ...] = ()
    action: str = ""
    after: str = ""
    app_id: str = ""
    backend: str = ""
    basis: str = ""
    before: str = ""
    by: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    cache: str = ""
    caller: str = ""
    configuration: str = ""
    cost: str = ""
    cost_centre: str = ""
    decision: str = ""
    decisions: tuple[Said, ...] = ()
    department: str = ""
    details: str = ""
    dialect: str = ""
    ended_by: str = ""
    ending: str = ""
    event: str
    exchange_id: str = ""
    first_byte_us: int = 0
    flags: tuple[str, ...] = ()
    method: str = field(default="", name="http.request.method")
    status: int = field(default=0, name="http.response.status_code")
    journal: str
    kind: str
    latency_ms: int = 0
    latency_us: int = 0
    level: str
    lost: int = 0
    marks: tuple[str, ...] = ()
    model: str = ""
    operation: str = ""
    of: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    policy: str = ""
    previous: Hash
    price: str = ""
    reason: str = ""
    recovered: str = ""
    redacted: bool = False
    request_id: str = ""
    requests: int = 0
    reservation_id: str = ""
    reserved: Reserved | None = None
    response_model: str = ""
    result: str = ""
    roles: tuple[str, ...] = ()
    route: str = ""
    schema: int
    sequence: int
    version: str = field(default="", name="service.version")
    session_id: str = ""
    started: str = ""
    stream: bool = False
    subject: str = ""
    tenant: str = ""
    tenant_id: str = ""
    timestamp: Moment
    timings: tuple[Timing, ...] = ()
    tokens: Tokens | None = None
    tool: str = ""
    trace_id: str = ""
    upstream: str = ""
    path: str = field(default="", name="url.path")
    user_id: str = ""
    why: str = ""


class Closed(msgspec.Struct, frozen=True):
    """A record as it is read back: itself, its hash, and the line that it was."""

    record: Record
    hash: str
    line: bytes
