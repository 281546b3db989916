"""What an exchange really used, from its completion: the one place where that is decided. Pure.

Where the provider has counted, its count is what was used, also above the reservation. Where it has not:

- nothing went up (refused, answered by the gateway): nothing, not even a request;
- the upstream refused, or could not be reached: a request, and no tokens;
- a stream that broke off: its input, and at least the chunks that were seen;
- anything else that may have cost (no usage in the answer, a client that left before a plain answer came, a time-out):
  all that was reserved, for what is not known is not free.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from extproc.call import METERS
from extproc.completion import Completion, Ending, Verdict
from extproc.exchange import Dialect
from extproc.price import Portions, Price, cost, portions
from extproc.reservation import Reservation


class Basis(StrEnum):
    """Where the figures come from."""

    METERED = "metered"
    NOTHING = "nothing"
    CHUNKS = "chunks"
    ESTIMATE = "estimate"


class Actual(msgspec.Struct, frozen=True):
    """What was used, and how that is known."""

    tokens: Portions
    requests: int
    basis: Basis


class Charged(msgspec.Struct, frozen=True):
    """What an exchange is charged: put on a completion by who keeps the counters, before others settle it.

    Attributes:
        tokens: as they are billed.
        weighted: tokens as limits count them.
        dollars: micro-dollars; None where no price is known.
    """

    tokens: Portions
    basis: Basis
    requests: int
    weighted: int
    dollars: int | None


_NOTHING: Final = Portions()
_UNRESERVED: Final = Reservation("")


def charged(completion: Completion, price: Price | None) -> Charged:
    """What the exchange is charged; where nobody keeps counters, every token counts as one."""
    known = completion.get(Charged)
    if known is not None:
        return known
    found = actual(completion)
    tokens = found.tokens
    count = tokens.input + tokens.cached_input + tokens.cache_write + tokens.output
    return Charged(tokens, found.basis, found.requests, count, cost(tokens, price) if price is not None else None)


def actual(completion: Completion) -> Actual:
    """What the exchange used. Where that is not known, what was reserved for it; without a reservation, what was seen."""
    call = completion.call
    if completion.verdict is not Verdict.ALLOW:
        return Actual(_NOTHING, 0, Basis.NOTHING)
    if completion.usage is not None:
        dialect = call.dialect if call is not None else Dialect.OPENAI
        return Actual(portions(completion.usage, dialect), 1, Basis.METERED)
    if call is None or call.operation not in METERS:
        return Actual(_NOTHING, 1, Basis.NOTHING)
    if completion.ending is Ending.UPSTREAM_UNAVAILABLE or _failed(completion):
        return Actual(_NOTHING, 1, Basis.NOTHING)
    reservation = completion.get(Reservation) or _UNRESERVED
    whole = Portions(input=reservation.input, output=reservation.output * reservation.choices)
    if call.stream and completion.ending in (Ending.CLIENT_GONE, Ending.UPSTREAM_CUT) and completion.output_floor:
        return Actual(Portions(input=reservation.input, output=completion.output_floor), 1, Basis.CHUNKS)
    return Actual(whole, 1, Basis.ESTIMATE)


def _failed(completion: Completion) -> bool:
    """The upstream's answer was an error: no provider bills one."""
    return completion.ending is Ending.ANSWERED and not 200 <= completion.status < 300
