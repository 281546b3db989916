"""What a reservation is charged, as `scripts/reserve.lua` writes it into its record. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

SETTLED: Final = b"s"
"""The record of a reservation that is settled."""
_decoder: Final = msgspec.msgpack.Decoder(tuple[str, str, int, list[Any]])
_charges: Final = msgspec.msgpack.Decoder(list[Any])


class Charged(NamedTuple):
    """What stands on one counter: `reserved` in the window of this number. `measure` is the first letter of one;
    `amount` is that of a limit that carries debt, else -1."""

    key: str
    counter: str
    measure: str
    window: int
    reserved: int
    amount: int
    generation: int


def in_record(record: bytes) -> list[Charged]:
    """The charges of a reservation that is not settled.

    Raises:
        ValueError: it is no such record.
    """
    return _apart(_decoder.decode(record)[3])


def alone(packed: bytes) -> list[Charged]:
    """The same from the charges by themselves.

    Raises:
        ValueError: they are none.
    """
    return _apart(_charges.decode(packed))


def _apart(values: Sequence[Any]) -> list[Charged]:
    each = [iter(values)] * len(Charged._fields)
    charges = msgspec.convert(list(zip(*each, strict=True)), list[Charged])
    for at, charge in enumerate(charges):
        if not charge.key and at > 0:
            charges[at] = charge._replace(key=charges[at - 1].key)
    return charges
