"""What can be asked of the ledger, and what is answered. Pure.

Amounts of money are Decimals in US dollars, exact to the micro-dollar. Periods are of the time of the decision, in UTC:
from `since`, and before `until`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

import msgspec

from policies.audit.ledger.rows import Row, dollars


class By(StrEnum):
    """What usage can be told apart by. A tenant goes by its name, or by its id where it has none."""

    TENANT = "tenant"
    DEPARTMENT = "department"
    COST_CENTRE = "cost_centre"
    USER = "user"
    APP = "app"
    MODEL = "model"
    UPSTREAM = "upstream"
    SESSION = "session"
    DAY = "day"
    MONTH = "month"
    DECISION = "decision"


Filters: TypeAlias = Mapping[By, tuple[str, ...]]
"""For each, the values of which a row must have one."""


class Question(msgspec.Struct, frozen=True):
    """Who used what in a period."""

    by: tuple[By, ...]
    since: datetime
    until: datetime
    filters: Filters = {}


class Usage(msgspec.Struct, frozen=True):
    """What exchanges of one kind used together.

    Attributes:
        key: their values of what was asked by, in that order; "" where there is none.
        requests: how many exchanges, also refused ones.
        open: exchanges whose end is not known: their tokens and their cost are not in the sums.
        unpriced: exchanges with tokens for which no price is known: their cost is not in the sum.
    """

    key: tuple[str, ...]
    requests: int
    refused: int
    open: int
    unpriced: int
    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    audio_output: int
    reasoning: int
    total: int
    weighted: int
    cost: Decimal


class Amount(msgspec.Struct, frozen=True):
    """What one exchange used: requests that went up, weighted tokens, micro-dollars (0 where no price is known)."""

    exchange_id: str
    at: datetime
    closed: bool
    requests: int
    weighted: int
    micro: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """All that the ledger has on one exchange. Names as in `policies.audit.record.Record`."""

    exchange_id: str
    request_id: str
    reservation_id: str
    trace_id: str
    at: datetime
    decided_at: datetime | None
    decision_journal: str | None
    decision_sequence: int | None
    tenant: str
    tenant_id: str
    department: str
    cost_centre: str
    user_id: str
    app_id: str
    caller: str
    session_id: str
    route: str
    model: str
    operation: str
    tool: str
    decision: str
    policy: str
    reason: str
    why: str
    configuration: str
    reserved_tokens: int
    reserved: Decimal | None
    closed: bool
    recovered: bool
    closed_at: datetime | None
    closing_journal: str | None
    closing_sequence: int | None
    upstream: str
    backend: str
    response_model: str
    cache: str
    ending: str
    ended_by: str
    details: str
    result: str
    status: int
    requests: int
    basis: str
    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    audio_output: int
    reasoning: int
    tool_calls: int
    total: int
    weighted: int
    cost: Decimal | None
    price: str
    latency_us: int
    first_byte_us: int


def entry(row: Row) -> Entry:
    """The exchange in a row of `usage`."""
    told = {name: row[name] for name in Entry.__struct_fields__ if name not in ("cost", "reserved")}
    return Entry(**told, cost=_dollars(row["cost_micro"]), reserved=_dollars(row["reserved_micro"]))


def _dollars(amount: int | None) -> Decimal | None:
    return None if amount is None else dollars(amount)
