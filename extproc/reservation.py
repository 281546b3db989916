"""What is reserved for an exchange before it goes up. Put by a policy of limits, read by whoever accounts for it."""

from __future__ import annotations

import msgspec


class Reservation(msgspec.Struct, frozen=True):
    """The fact that something is reserved under the exchange's id. Travels to settlement.

    Attributes:
        id: its name where it is held.
        tenants: under whose limits it is reserved: its own tenant's, and those of all tenants together if there are any.
        input: tokens of input that are reserved.
        estimated: those that were counted, before anything learned was applied; 0 where the input was only bounded.
        output: output tokens granted, for each of `choices`.
        tokens, dollars: weighted tokens and micro-dollars: what is charged if its end is never heard of. `dollars` is
            None where the model has no price.
    """

    id: str
    tenants: tuple[str, ...] = ()
    input: int = 0
    estimated: int = 0
    output: int = 0
    choices: int = 1
    tokens: int = 0
    dollars: int | None = None
