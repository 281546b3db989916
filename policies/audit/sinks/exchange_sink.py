"""What sinks have in common that tell of exchanges: halves are joined, made into spans, sent, and then counted as told.

The order is what makes it safe. First it is sent, and the receiver has said that it has it; then the halves are noted on
disk; then the follower writes its checkpoint. Whoever is killed in between does the same again, with the same ids.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from extproc.tasks import aside
from policies.audit.following.sink import RejectedError
from policies.audit.record import Closed
from policies.audit.sinks.exchanges import Completed, Exchange, completed
from policies.audit.sinks.otlp_http import OtlpLink, Receiver, RefusedError
from policies.audit.sinks.otlp_spans import PackedSpans
from policies.audit.sinks.settings import ExchangeSinkSettings
from policies.audit.sinks.sql_halves import Halves

_log = logging.getLogger(__name__)
FILE: Final = "halves.db"


class ExchangeSink:
    """See `policies.audit.following.sink.Sink`. A subclass says how exchanges are packed, and what authorises it."""

    def __init__(
        self, settings: ExchangeSinkSettings, folder: Path, receiver: Receiver, clock: Callable[[], float]
    ) -> None:
        """
        Args:
            folder: of the journals; halves that wait are kept there, in `NAME.halves.db`.
            clock: seconds since the epoch.
        """
        self.name = settings.name
        self._clock = clock
        self._link = OtlpLink(receiver, clock)
        self._halves = Halves(folder / f"{settings.name}.{FILE}", again=settings.batch.records)

    @abstractmethod
    def packed(self, exchanges: Sequence[Exchange]) -> list[PackedSpans]:
        """Requests with all of them, in their order. In a thread.

        Raises:
            SinkError: it cannot be done now.
        """

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """Header fields of a request. In a thread, before each.

        Raises:
            SinkError: a secret is not there.
        """

    async def start(self) -> None:
        """
        Raises:
            SinkError: a file of TLS, a secret or the file of halves cannot be used.
        """
        await aside(self._ready, name=f"{self.name} start")
        await self._link.start()

    async def stop(self) -> None:
        """Close its connections and its file. What was not sent is still in the journal."""
        try:
            await self._link.stop()
        finally:
            await aside(self._halves.close, name=f"{self.name} stop")

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Tell of the exchanges that this batch completes.

        Raises:
            SinkError: bring it again.
            RejectedError: the receiver never takes some of it.
        """
        await self._overdue()
        found = await aside(lambda: completed(batch, self._halves), name=f"{self.name} join")
        try:
            await self._send([one.exchange for one in found])
        except _RefusedOnesError as error:
            refused = [one.index for one in found[error.first : error.end]]
            # Those stay untold: a replay finds their other halves. What stands between and after them comes again.
            await self._took(batch[: refused[0]], found[: error.first])
            raise RejectedError(refused, str(error), delivered=refused[0]) from None
        await self._took(batch, found)

    async def _overdue(self) -> None:
        """Closings whose decision does not come are told without it."""
        now = self._clock()
        late = await aside(lambda: self._halves.overdue(now), name=f"{self.name} late")
        if not late:
            return
        while late:
            try:
                await self._send(late)
            except _RefusedOnesError as error:
                _log.error("sink %s: %d exchanges without a decision: %s", self.name, error.end - error.first, error)
                done, late = late[: error.end], late[error.end :]
            else:
                done, late = late, []
            await self._took((), [Completed(-1, one) for one in done])

    def _ready(self) -> None:
        self.headers()
        self._halves.open()

    async def _took(self, batch: Sequence[Closed], told: Sequence[Completed]) -> None:
        now = self._clock()
        exchanges = [one.exchange for one in told]
        await aside(lambda: self._halves.took(batch, exchanges, now), name=f"{self.name} note")

    async def _send(self, exchanges: Sequence[Exchange], offset: int = 0) -> None:
        """
        Raises:
            SinkError: send all of them again.
            _RefusedOnesError: those before `first` have arrived.
        """
        if not exchanges:
            return
        for request in await aside(lambda: self.packed(exchanges), name=f"{self.name} encode"):
            first, end = request.first, request.end
            headers = await aside(self.headers, name=f"{self.name} headers")
            try:
                await self._link.post(request.body, end - first, headers)
            except RefusedError as error:
                if end - first == 1 or not error.wholly:
                    raise _RefusedOnesError(offset + first, offset + end, str(error)) from None
                middle = (first + end) // 2
                for start, stop in ((first, middle), (middle, end)):
                    await self._send(exchanges[start:stop], offset + start)


class _RefusedOnesError(Exception):
    """The receiver never takes the exchanges from `first` until before `end`."""

    def __init__(self, first: int, end: int, reason: str) -> None:
        super().__init__(reason)
        self.first = first
        self.end = end
