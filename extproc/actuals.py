"""What an exchange really used, from its completion: the one place where that is decided. Pure.

Where the provider has counted, its count is what was used, also above the reservation. Where it has not:

- nothing went up (refused, answered by the gateway): nothing, not even a request;
- the upstream refused, or could not be reached, or AI Gateway refused before it was asked: a request, and no tokens;
- a stream that broke off: its input, and at least the chunks that were seen;
- anything else that may have cost (no usage in the answer, a client that left before a plain answer came, a time-out):
  all that was reserved, for what is not known is not free.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from extproc.call import METERS
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Usage, Verdict
from extproc.exchange import Dialect
from extproc.price import FALLBACK, Portions, Price, cost, portions
from extproc.reservation import Reservation
from extproc.tariff import Tariff


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
    tier: str = ""
    """The service tier, as the answer names it."""
    reserved: int | None = None
    """Micro-dollars, where all that was reserved counts as used: in whatever tier it was."""


class Charged(msgspec.Struct, frozen=True):
    """What an exchange is charged: put on a completion by who keeps the counters, before others settle it.

    Attributes:
        tokens: as they are billed.
        weighted: tokens as limits count them.
        dollars: micro-dollars; None where no price is known.
        price: which price that is, as `Price.source` says; "" where none is known.
    """

    tokens: Portions
    basis: Basis
    requests: int
    weighted: int
    dollars: int | None
    price: str = ""


PRICE_FALLBACK: Final = "price_fallback"
UNPRICED: Final = "unpriced"
"""What is to be marked of an exchange: that it was priced as declared for models nobody knows, or not at all."""
_BROKEN_OFF: Final = frozenset({Ending.CLIENT_GONE, Ending.UPSTREAM_CUT, Ending.TIMED_OUT})
_NOTHING: Final = Portions()
# An enumeration looks for its members itself, in 0.1 us.
_ALLOW, _FREE, _METERED, _CHUNKS, _OPENAI = Verdict.ALLOW, Basis.NOTHING, Basis.METERED, Basis.CHUNKS, Dialect.OPENAI
_UNRESERVED: Final = Reservation("")


def charged(completion: Completion, price: Price | None) -> Charged:
    """What the exchange is charged; where nobody keeps counters, every token counts as one."""
    known = completion.get(Charged)
    if known is not None:
        return known
    found = actual(completion)
    tokens = found.tokens
    return Charged(tokens, found.basis, found.requests, tokens.total, spent(found, price), source(found, price))


def price_of(tariff: Tariff, completion: Completion) -> Price | None:
    """The price that holds for an exchange; None where nothing of a model went to an upstream, or none is known."""
    target, call, identity = completion.get(Target), completion.call, completion.identity
    if target is None or call is None or call.model is None:
        return None
    tenant, name = (identity.tenant, identity.tenant_name) if identity is not None else ("", "")
    return tariff.price(target.upstream, call.model, tenant, name, completion.started.timestamp())


def spent(found: Actual, price: Price | None) -> int | None:
    """Micro-dollars; None where there is no price. What was not answered is not billed, not even the request."""
    if price is None:
        return None
    if found.basis is _FREE:
        return 0
    return cost(found.tokens, price, found.tier) if found.reserved is None else found.reserved


def source(found: Actual, price: Price | None) -> str:
    """Which price that is; "" where there is none, or nothing to be priced."""
    return "" if price is None or found.basis is _FREE else price.of_tier(found.tier).source


def price_mark(charge: Charged) -> str | None:
    """What is to be marked about the price of an exchange: `price_fallback`, `unpriced` or nothing."""
    if not (charge.tokens.total or charge.tokens.tool_calls):
        return None
    if charge.dollars is None:
        return UNPRICED
    return PRICE_FALLBACK if charge.price == FALLBACK else None


def actual(completion: Completion) -> Actual:
    """What the exchange used. Where that is not known, what was reserved for it; without a reservation, what was seen."""
    call = completion.call
    if completion.verdict is not _ALLOW:
        return Actual(_NOTHING, 0, _FREE)
    if completion.usage is not None:
        return _metered(completion.usage, completion)
    if call is None or call.operation not in METERS:
        return Actual(_NOTHING, 1, _FREE)
    if completion.ending is Ending.UPSTREAM_UNAVAILABLE or completion.unsent or _failed(completion):
        return Actual(_NOTHING, 1, _FREE)
    reservation = completion.get(Reservation) or _UNRESERVED
    whole = Portions(input=reservation.input, output=reservation.output * reservation.choices)
    if call.stream and completion.ending in (Ending.CLIENT_GONE, Ending.UPSTREAM_CUT) and completion.output_floor:
        return Actual(Portions(input=reservation.input, output=completion.output_floor), 1, _CHUNKS, completion.tier)
    return Actual(whole, 1, Basis.ESTIMATE, reserved=reservation.dollars)


def _metered(usage: Usage, completion: Completion) -> Actual:
    """The provider's count. Of a stream that broke off it may be what stood at its beginning: Anthropic says one token of
    output there, and the rest at the end."""
    dialect = completion.call.dialect if completion.call is not None else _OPENAI
    basis = _METERED
    if completion.output_floor > usage.output and completion.ending in _BROKEN_OFF:
        usage, basis = replace(usage, output=completion.output_floor), _CHUNKS
    return Actual(portions(usage, dialect), 1, basis, usage.tier)


def _failed(completion: Completion) -> bool:
    """The upstream's answer was an error: no provider bills one."""
    return completion.ending is Ending.ANSWERED and not 200 <= completion.status < 300
