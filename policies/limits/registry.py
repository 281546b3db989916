"""The port to what is known of all tenants together: who they are, limits set at run time, who reaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from policies.limits.plan import Override
from policies.limits.tokens.learned import Learned


class Change(msgspec.Struct, frozen=True):
    """What somebody did to the limits at run time.

    Attributes:
        at: seconds since the epoch, by the clock of the store.
        by: who did it, as they say.
        action: `set`, `unset` or `reset`.
        before, after: the amount; None where none was set.
        id: its own, in the order in which changes were made.
    """

    at: float
    by: str
    action: str
    subject: str
    kind: str
    before: int | None = None
    after: int | None = None
    id: str = ""


class Registry(Protocol):
    """Shared by all workers. Every method may raise `StoreUnavailableError`."""

    async def remember(self, tenant: str, name: str) -> None:
        """That there is such a tenant, and what people call it."""

    async def tenants(self) -> Mapping[str, str]:
        """Every tenant that was ever seen, and its name."""

    async def version(self) -> int:
        """Changes with every change of the overrides."""

    async def overrides(self) -> Sequence[Override]:
        """Every limit that is set at run time."""

    async def witness(self, request_id: str, seconds: float) -> None:
        """An exchange ended before its verdict arrived: whatever is reserved for it was never used."""

    async def witnessed(self, request_id: str) -> bool:
        """Whether such an exchange ended before its verdict arrived."""

    async def learn(self, model: str, sums: Learned) -> None:
        """Add to what all workers know of a model."""

    async def learned(self) -> Mapping[str, Learned]:
        """What all workers know, by model."""

    async def untold(self, most: int) -> Sequence[Change]:
        """The oldest changes after the last that was `told`."""

    async def told(self, change: str) -> None:
        """That this change, and all before it, have been written down elsewhere."""

    async def elected(self, candidate: str, seconds: float) -> bool:
        """Whether the candidate is the one that reaps, for so many seconds from now."""
