"""A sink that tells a receiver of OpenTelemetry metrics what model calls used and how long they took: OTLP over HTTP.

A point is the sum of all since the sink began, and not a record: what did not arrive is in the next one as well. So no
record is ever put aside here. A request that is refused as a whole comes again, with later sums, and the status says so;
points that were rejected of one that was taken are sent again when they change, which is no repeat.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from extproc.tasks import aside
from policies.audit.following.sink import SinkError
from policies.audit.record import SCHEMA, Closed
from policies.audit.sinks.histograms import Histograms
from policies.audit.sinks.otlp_histograms import Origin, PackedSeries, Period, packed
from policies.audit.sinks.otlp_http import OtlpLink, Receiver, RefusedError, read_headers
from policies.audit.sinks.settings import MetricsSettings

_log = logging.getLogger(__name__)
WHOLE: Final = 60.0
"""Seconds after which series that have not changed are told again, with those that have: readers forget silent ones."""
_HINTS: Final = {404: "nothing takes metrics there", 413: "`max_bytes` is more than the receiver takes"}


class MetricsSink:
    """See `policies.audit.following.sink.Sink`."""

    def __init__(self, settings: MetricsSettings, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._start = self._latest = round(clock() * 1e9)
        self._whole = self._warned = -WHOLE
        own = {"service.name": "sluicegate", "service.instance.id": os.uname().nodename}
        self._origin = Origin({**own, **settings.resource}, "sluicegate.audit", str(SCHEMA))
        self._sums = Histograms(models=settings.models, tenants=settings.tenants, series=settings.series)
        to = Receiver(
            *(settings.name, settings.url, settings.tls, settings.compression, settings.timeout),
            what="points",
            hints=_HINTS,
        )
        self._link = OtlpLink(to, clock)

    async def start(self) -> None:
        """Make the client. Nothing is sent yet.

        Raises:
            SinkError: a file of TLS or a secret cannot be used.
        """
        await aside(lambda: read_headers(self._settings.headers), name=f"{self.name} start")
        await self._link.start()

    async def stop(self) -> None:
        """Close its connections. The sums are gone: the next sink begins with none, and another start time."""
        await self._link.stop()

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Count the batch, where it was not counted, and send what has changed; nothing where nothing has.

        Raises:
            SinkError: bring it again.
        """
        now = self._clock()
        everything = not self._whole <= now < self._whole + WHOLE
        requests = await aside(lambda: self._counted(batch, now, everything), name=f"{self.name} count")
        for request in requests:
            headers = await aside(lambda: read_headers(self._settings.headers), name=f"{self.name} headers")
            try:
                await self._link.post(request.body, len(request.series), headers)
            except RefusedError as error:
                if error.wholly:
                    raise SinkError(str(error)) from None
                self._warn(str(error), now)
            self._sums.told(request.series)
        if everything and requests:
            self._whole = now

    def _counted(self, batch: Sequence[Closed], now: float, everything: bool) -> list[PackedSeries]:
        self._sums.count(batch)
        changed = self._sums.series()
        if not changed:
            return []
        # A clock that was set back makes no point older than one before it.
        self._latest = max(self._latest, round(now * 1e9))
        series = self._sums.series(everything=True) if everything else changed
        return packed(series, Period(self._start, self._latest), self._origin, self._settings.max_bytes)

    def _warn(self, why: str, now: float) -> None:
        if not self._warned <= now < self._warned + WHOLE:
            self._warned = now
            _log.warning("sink %s: %s", self.name, why)
