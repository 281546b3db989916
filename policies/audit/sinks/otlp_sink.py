"""A sink that sends records to a receiver of OpenTelemetry logs. What answers mean: `policies.audit.sinks.otlp_http`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from extproc.tasks import aside
from policies.audit.following.sink import RejectedError
from policies.audit.record import Closed
from policies.audit.sinks.otlp_http import OtlpLink, Receiver, RefusedError, read_headers
from policies.audit.sinks.otlp_logs import Packed, packed
from policies.audit.sinks.settings import OtlpSettings


class OtlpSink:
    """See `policies.audit.following.sink.Sink`."""

    def __init__(self, settings: OtlpSettings, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        to = Receiver(settings.name, settings.url, settings.tls, settings.compression, settings.timeout, "records")
        self._link = OtlpLink(to, clock)

    async def start(self) -> None:
        """Make the client. Nothing is sent yet.

        Raises:
            SinkError: a file of TLS cannot be used.
        """
        await self._link.start()

    async def stop(self) -> None:
        """Close its connections."""
        await self._link.stop()

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Send the batch, in as many requests as it takes.

        Raises:
            SinkError: send it again.
            RejectedError: the receiver never takes some of it.
        """
        for request in await self._packed(batch):
            await self._deliver(batch, request)

    async def _packed(self, batch: Sequence[Closed]) -> list[Packed]:
        settings, now = self._settings, self._clock()
        return await aside(lambda: packed(batch, settings.resource, now, settings.max_bytes), name=f"{self.name} encode")

    async def _deliver(self, batch: Sequence[Closed], request: Packed) -> None:
        """Send a request; where it is refused, its halves, in their order, until it is known which records it is for."""
        first, end = request.first, request.end
        try:
            await self._link.post(request.body, end - first, read_headers(self._settings.headers))
        except RefusedError as error:
            if end - first == 1 or not error.wholly:
                raise RejectedError(range(first, end), str(error), delivered=first) from None
            middle = (first + end) // 2
            for start, stop in ((first, middle), (middle, end)):
                for half in await self._packed(batch[start:stop]):
                    await self._deliver(batch, Packed(half.body, half.first + start, half.end + start))
