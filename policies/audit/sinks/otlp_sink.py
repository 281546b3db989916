"""A sink that sends records to a receiver of OpenTelemetry logs: OTLP over HTTP, in protobuf.

What answers mean (OTLP 1.x, "OTLP/HTTP Response", and beyond it where a record would be lost):

- 200 is delivered. Where it says that some records were rejected (partial success), it does not say which, and the
  protocol forbids to send them again: all of that request become dead letters, for people to look at.
- 400, 413 and 422 are about what was sent: the request is halved until the record is found that is refused.
- All else is about the receiver or the way to it, and comes again: 429, 502, 503, 504 as the protocol has it, but also
  401, 403, 404 or a redirect, which are a mistake in the settings of somebody, and no reason to lose a record.

`Retry-After` is told to the follower, which heeds it. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from google.protobuf.message import DecodeError

from extproc.secret import SecretError, read_secret
from extproc.tasks import aside
from policies.audit.following.settings import is_loopback
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.record import Closed
from policies.audit.sinks import http_tls
from policies.audit.sinks.otlp_logs import Packed, packed
from policies.audit.sinks.otlp_messages import ExportLogsServiceResponse
from policies.audit.sinks.settings import OtlpSettings

REFUSING: Final = frozenset({400, 413, 422})
"""Statuses that are about what was sent."""
_ANSWER_BYTES: Final = 65_536


class _RefusedError(Exception):
    """The receiver refuses what was sent. `wholly`: to halve it finds out more."""

    def __init__(self, reason: str, *, wholly: bool) -> None:
        super().__init__(reason)
        self.wholly = wholly


class OtlpSink:
    """See `policies.audit.following.sink.Sink`."""

    def __init__(self, settings: OtlpSettings, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Make the client. Nothing is sent yet.

        Raises:
            SinkError: a file of TLS cannot be used.
        """
        settings = self._settings
        context = await aside(lambda: http_tls.context(settings.tls), name=f"{self.name} start")
        await self.stop()
        self._http = httpx.AsyncClient(
            verify=context,
            timeout=None,  # noqa: S113  (the whole exchange is bounded, which httpx's own time-outs do not)
            follow_redirects=False,
            trust_env=not is_loopback(httpx.URL(settings.url).host),
            headers={"user-agent": "sluicegate", "content-type": "application/x-protobuf", "accept-encoding": "identity"},
        )

    async def stop(self) -> None:
        """Close its connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

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
        try:
            await self._send(request)
        except _RefusedError as error:
            first, end = request.first, request.end
            if end - first == 1 or not error.wholly:
                raise RejectedError(range(first, end), str(error), delivered=first) from None
            middle = (first + end) // 2
            for start, stop in ((first, middle), (middle, end)):
                for half in await self._packed(batch[start:stop]):
                    await self._deliver(batch, Packed(half.body, half.first + start, half.end + start))

    async def _send(self, request: Packed) -> None:
        """One exchange.

        Raises:
            SinkError: it is not known to have arrived.
            _RefusedError: it has arrived, and was refused.
        """
        if self._http is None:
            raise SinkError("it was not started")
        settings = self._settings
        body, headers = request.body, dict(self._headers())
        if settings.compression == "gzip":
            headers["content-encoding"] = "gzip"
            body = await aside(lambda: gzip.compress(request.body, 6, mtime=0), name=f"{self.name} compress")
        try:
            async with (
                asyncio.timeout(settings.timeout),
                self._http.stream("POST", settings.url, content=body, headers=headers) as response,
            ):
                answer = await _read(response)
        except TimeoutError:
            raise SinkError(f"no answer within {settings.timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise SinkError(f"{type(error).__name__}: {str(error)[:200]}") from None
        self._judge(response, answer, request.end - request.first)

    def _headers(self) -> Iterator[tuple[str, str]]:
        """Read anew each time: secrets are replaced."""
        for name, secret in self._settings.headers.items():
            try:
                value = read_secret(secret)
            except SecretError as error:
                raise SinkError(f"header {name}: {error}") from None
            if not (value.isascii() and value.isprintable()):
                # What httpx would say of it holds the value.
                raise SinkError(f"header {name}: its value is not printable ASCII")
            yield name, value

    def _judge(self, response: httpx.Response, answer: bytes, count: int) -> None:
        status = response.status_code
        if status in REFUSING:
            raise _RefusedError(f"status {status}", wholly=True)
        if status != 200:
            raise SinkError(f"status {status}", retry_after(response.headers.get("retry-after", ""), self._clock()))
        rejected = rejected_records(answer)
        if rejected:
            reason = f"the receiver rejected {rejected} of {count} records and does not say which"
            raise _RefusedError(reason, wholly=False)


def rejected_records(answer: bytes) -> int:
    """How many records a 200 says were rejected. An answer that cannot be read says nothing, as an empty one."""
    try:
        rejected: int = ExportLogsServiceResponse.FromString(answer).partial_success.rejected_log_records
    except DecodeError:
        return 0
    return rejected


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for: a number of them, or a date. None where it makes no sense."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


async def _read(response: httpx.Response) -> bytes:
    """The body, as far as anybody needs it."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _ANSWER_BYTES:
            break
    return bytes(body)
