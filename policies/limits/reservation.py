"""What travels with an exchange that was admitted while the store was away."""

from __future__ import annotations

import msgspec

from policies.limits.store import Ask


class CountedHere(msgspec.Struct, frozen=True):
    """The fact that a worker alone has counted an exchange: what is to be counted once the store is back."""

    asks: tuple[Ask, ...]
