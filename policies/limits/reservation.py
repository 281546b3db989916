"""What travels with an exchange from its reservation to its settlement."""

from __future__ import annotations

import msgspec

from policies.limits.store import Ask


class Reservation(msgspec.Struct, frozen=True):
    """The fact that something is reserved under the exchange's id. Travels to settlement.

    Attributes:
        input: tokens of input that are reserved.
        estimated: those that were counted, before anything learned was applied; 0 where the input was only bounded.
        output: output tokens granted, for each of `choices`.
        dollars: micro-dollars reserved for the whole; None where the model has no price.
        id: its name in the store.
        tenants: under whose limits it is reserved: its own tenant's, and `EVERYONE`'s where there are any.
        local: while Redis was away, counted by the worker alone: what is to be counted once it is back.
    """

    id: str
    tenants: tuple[str, ...] = ()
    input: int = 0
    estimated: int = 0
    output: int = 0
    choices: int = 1
    dollars: int | None = None
    local: tuple[Ask, ...] = ()
