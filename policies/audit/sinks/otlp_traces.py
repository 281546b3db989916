"""A sink that tells a receiver of OpenTelemetry traces of every exchange: OTLP over HTTP, in protobuf."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from policies.audit.record import SCHEMA
from policies.audit.sinks.exchange_sink import ExchangeSink
from policies.audit.sinks.exchange_spans import spans
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.otlp_http import Receiver, read_headers
from policies.audit.sinks.otlp_spans import PackedSpans, Scope, packed
from policies.audit.sinks.settings import TracesSettings

_SCOPE = Scope("sluicegate.audit", str(SCHEMA))


class TracesSink(ExchangeSink):
    """A server's span for each exchange, with those of its decision and of the call below it."""

    def __init__(self, settings: TracesSettings, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """See `ExchangeSink`."""
        to = Receiver(settings.name, settings.url, settings.tls, settings.compression, settings.timeout, "exchanges")
        super().__init__(settings, folder, to, clock)
        self._settings = settings

    def packed(self, exchanges: Sequence[Exchange]) -> list[PackedSpans]:
        resource = {"service.name": "sluicegate", **self._settings.resource}
        return packed([spans(one) for one in exchanges], resource, _SCOPE, self._settings.max_bytes)

    def headers(self) -> Mapping[str, str]:
        return read_headers(self._settings.headers)
