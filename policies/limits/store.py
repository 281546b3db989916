"""The port to the counters: what may be asked of them, and what they answer. No technology here.

Two stores implement it and pass the same contract suite: Redis (`redis_store`), and memory (`memory_store`), which limits
while Redis is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from extproc.price import PICO
from policies.limits.limit import Measure, Window

MIN_FLOOR: Final = 1


class Demand(msgspec.Struct, frozen=True, array_like=True):
    """What one exchange asks of one counter. In the order in which `reserve.lua` reads it.

    What is reserved is `fixed + ceil(output * per_output / PICO)`, in the unit of the measure, where `output` is how many
    output tokens are granted (per choice), or with `expected` how many such calls usually produce.

    Attributes:
        key: the key of the subject's counters.
        counter: the counter's name.
        amount: the limit.
        fixed: reserved whatever the output: 1 request, the input's tokens, the input's price.
        per_output: of the measure, in millionths, for every output token granted.
        clamps: the output granted is lowered to what this limit still allows (budgets); otherwise the whole is refused.
        expected: reserve what such calls usually produce.
        shadow: count, and never refuse.
        seconds: how long the subject's counters are kept after they were last written.
        carries: an overrun is carried into the next window, whichever call is the first in it.
    """

    key: str
    counter: str
    measure: Measure
    window: Window
    amount: int
    fixed: int
    per_output: int = 0
    clamps: bool = False
    expected: bool = False
    shadow: bool = False
    seconds: int = 35 * 86_400
    carries: bool = False

    def reserved(self, output: int) -> int:
        """What is reserved where so much output is granted."""
        return self.fixed - (-output * self.per_output) // PICO


class Zone(msgspec.Struct, frozen=True):
    """A time zone as the script can use it: the offset from UTC now, and the next change of it. All in seconds."""

    offset: int = 0
    until: int = 2**53
    """Since the epoch: from then on `next_offset` counts."""
    next_offset: int = 0


class Ask(msgspec.Struct, frozen=True):
    """A reservation that is asked for: all demands, or none.

    Attributes:
        id: unique for ever, not to be guessed.
        tenant: all demands are on subjects of it.
        request_id: the id by which Envoy's access log knows the exchange, also where it knows nothing else of it.
        lease: seconds after which it is charged as it was reserved, unless it has been settled.
        output: the most output tokens (per choice) that the call may produce; 0 where it produces none.
        expected: how many such calls usually produce.
        floor: the fewest worth granting: where budgets allow less, the whole is refused.
        force: count whatever the limits say (usage that happened while Redis was away).
        at: milliseconds since the epoch when it happened; 0 for now, by the clock of the store.
    """

    id: str
    tenant: str
    demands: tuple[Demand, ...]
    lease: float
    zone: Zone = Zone()
    request_id: str = ""
    output: int = 0
    expected: int = 0
    floor: int = MIN_FLOOR
    force: bool = False
    at: int = 0


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How one counter stands, as the answer to its demand.

    Attributes:
        used: in the present window, with what this exchange reserved if it was admitted, and with debt carried over.
        before: in the window before (minutes only; else 0).
        reset: milliseconds until the present window ends; 0 for no window.
        refused: this limit does not admit the exchange (shadowed limits say so too).
        reserved: the part of `used` that is not settled: some of it will be given back.
    """

    used: int
    before: int
    reset: int
    refused: bool = False
    reserved: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What became of an `Ask`. `standings` are in the order of its demands.

    Attributes:
        admitted: it is reserved. The same ask again is answered alike, and reserves nothing more.
        output: output tokens granted, per choice.
        standings: empty where the id was known before.
        settled: the id has been settled already: nothing is reserved, and nothing is admitted.
    """

    admitted: bool
    output: int
    standings: tuple[Standing, ...]
    settled: bool = False


class Used(msgspec.Struct, frozen=True):
    """What an exchange really used. `requests` is 0 where nothing went up."""

    requests: int = 0
    tokens: int = 0
    dollars: int = 0
    """Micro-dollars."""


class Overdue(msgspec.Struct, frozen=True):
    """A reservation whose lease has ended.

    Attributes:
        reserved: what it is charged; of each measure the most that any counter is.
        keys: of the subjects on whose counters it is charged.
    """

    tenant: str
    id: str
    request_id: str
    reserved: Used = Used()
    keys: tuple[str, ...] = ()


class StoreUnavailableError(Exception):
    """The store did not answer in time, or not as it should.

    `asked`: whether it may have done what it was asked all the same; False where the question never left.
    `alive`: it did answer, that it cannot do this one thing: nothing is wrong with it for others.
    """

    def __init__(self, message: str, *, asked: bool = True, alive: bool = False) -> None:
        super().__init__(message)
        self.asked = asked
        self.alive = alive


class Store(Protocol):
    """Counters, shared by all workers. Every method may raise `StoreUnavailableError`, and can then be repeated."""

    async def reserve(self, ask: Ask) -> Answer:
        """Reserve on every level, or on none."""

    async def settle(self, tenant: str, reservation: str, used: Used) -> bool:
        """Replace what was reserved by what was used, in the very windows it was reserved in. Once: a second settlement
        of an id changes nothing. True if it was done now; False if it had been, or if no such reservation is known (an id
        that is settled first cannot be reserved afterwards)."""

    async def settle_all(self, settlements: Sequence[tuple[str, str, Used]]) -> Sequence[bool | None]:
        """`settle` for many at once: tenant, id and what was used of each. None for one that could not be brought."""

    async def overdue(self, tenant: str, most: int) -> Sequence[Overdue]:
        """Reservations whose lease has ended, the oldest first."""

    async def expire(self, tenant: str, reservation: str) -> bool:
        """Charge an overdue reservation as it was reserved. A settlement that comes later still corrects it. True if it
        was done now."""
