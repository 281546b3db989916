"""A sink: where records of the journal are brought. What it must do, and what it may raise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from policies.audit.record import Closed, Record


class SinkError(Exception):
    """It was not taken, or nobody knows: the same batch comes again. The message holds no secret and no record.

    Attributes:
        retry_after: seconds for which the receiver asked to be left alone, where it did.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RejectedError(Exception):
    """Some records of a batch can never be delivered: they become dead letters.

    Attributes:
        indexes: which ones of the batch.
        reason: why, for operators.
        delivered: so many of the batch's first records are delivered, without those at `indexes`. All others come again.
    """

    def __init__(self, indexes: Iterable[int], reason: str, delivered: int = 0) -> None:
        super().__init__(reason)
        self.indexes = tuple(indexes)
        self.reason = reason
        self.delivered = delivered


class Sink(Protocol):
    """One place to which records go. Asked by one follower, one batch at a time."""

    name: str

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Deliver all of `batch` or nothing, as far as that can be done. It may come again, whole or cut otherwise: the
        id of a record is its `(journal, sequence)`. When this returns, the batch has arrived for good.

        Raises:
            SinkError: try again.
            RejectedError: some of it can never be delivered.
        """

    async def start(self) -> None:
        """Called before the first batch, and again as long as it raises.

        Raises:
            SinkError: try again.
        """

    async def stop(self) -> None:
        """Called after the last batch, also where `start` has failed."""


class Redacts(Protocol):
    """Takes out of a record what a sink must not have."""

    def record(self, record: Record) -> Record: ...
