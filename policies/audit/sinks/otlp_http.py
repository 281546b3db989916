"""OTLP over HTTP, in protobuf: one request and what its answer means. Edge: what httpx and ssl raise ends here.

What answers mean (OTLP 1.x, "OTLP/HTTP Response", and beyond it where a record would be lost):

- 200 is delivered. Where it says that some were rejected (partial success), it does not say which, and the protocol
  forbids to send them again: all of that request become dead letters, for people to look at. A page of HTML is no such
  answer: something else is there (a proxy's log-in, a web application), and it comes again.
- 400, 413 and 422 are about what was sent: whoever sent it halves it until the one is found that is refused.
- All else is about the receiver or the way to it, and comes again: 429, 502, 503, 504 as the protocol has it, but also
  401, 403, 404 or a redirect, which are a mistake in the settings of somebody, and no reason to lose a record.

`Retry-After` is told to the follower, which heeds it. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpx
from google.protobuf.message import DecodeError

from extproc.secret import Secret, SecretError, read_secret
from extproc.tasks import aside
from policies.audit.following.settings import WebhookTls, is_loopback
from policies.audit.following.sink import SinkError
from policies.audit.sinks import http_tls
from policies.audit.sinks.otlp_messages import ExportLogsServiceResponse

REFUSING: Final = frozenset({400, 413, 422})
"""Statuses that are about what was sent."""
_ANSWER_BYTES: Final = 65_536


class RefusedError(Exception):
    """The receiver refuses what was sent. `wholly`: to halve it finds out more."""

    def __init__(self, reason: str, *, wholly: bool) -> None:
        super().__init__(reason)
        self.wholly = wholly


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where requests go.

    Attributes:
        timeout: seconds for one request and its answer.
        what: what a request holds, in the plural, for people.
        hints: what a status probably means, for people.
    """

    name: str
    url: str
    tls: WebhookTls
    compression: Literal["gzip", "none"]
    timeout: float
    what: str
    hints: Mapping[int, str] = field(default_factory=dict)


class OtlpLink:
    """`start`, `post` any number of requests, `stop`."""

    def __init__(self, receiver: Receiver, clock: Callable[[], float]) -> None:
        """`clock`: seconds since the epoch."""
        self._to = receiver
        self._clock = clock
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Make the client. Nothing is sent yet.

        Raises:
            SinkError: a file of TLS cannot be used.
        """
        context = await aside(lambda: http_tls.context(self._to.tls), name=f"{self._to.name} start")
        await self.stop()
        self._http = httpx.AsyncClient(
            verify=context,
            timeout=None,  # noqa: S113  (the whole exchange is bounded, which httpx's own time-outs do not)
            follow_redirects=False,
            trust_env=not is_loopback(httpx.URL(self._to.url).host),
            headers={"user-agent": "sluicegate", "content-type": "application/x-protobuf", "accept-encoding": "identity"},
        )

    async def stop(self) -> None:
        """Close its connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def post(self, body: bytes, count: int, headers: Mapping[str, str]) -> None:
        """One exchange. `count`: how many are in it, for people.

        Raises:
            SinkError: it is not known to have arrived.
            RefusedError: it has arrived, and was refused.
        """
        if self._http is None:
            raise SinkError("it was not started")
        to, fields = self._to, dict(headers)
        if to.compression == "gzip":
            fields["content-encoding"] = "gzip"
            plain = body
            body = await aside(lambda: gzip.compress(plain, 6, mtime=0), name=f"{to.name} compress")
        try:
            async with (
                asyncio.timeout(to.timeout),
                self._http.stream("POST", to.url, content=body, headers=fields) as response,
            ):
                answer = await _read(response)
        except TimeoutError:
            raise SinkError(f"no answer within {to.timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise SinkError(f"{type(error).__name__}: {str(error)[:200]}") from None
        self._judge(response, answer, count)

    def _judge(self, response: httpx.Response, answer: bytes, count: int) -> None:
        status = response.status_code
        said = f"status {status}" + (f": {hint}" if (hint := self._to.hints.get(status)) else "")
        if status in REFUSING:
            raise RefusedError(said, wholly=True)
        if status != 200:
            raise SinkError(said, retry_after(response.headers.get("retry-after", ""), self._clock()))
        if "html" in response.headers.get("content-type", "") and answer.lstrip().startswith(b"<"):
            raise SinkError(f"status 200, with a page of HTML: what is at `url` takes no {self._to.what}")
        rejected = rejected_in(answer)
        if rejected > 0:
            reason = f"the receiver rejected {rejected} of {count} {self._to.what} and does not say which"
            raise RefusedError(reason, wholly=False)


def read_headers(headers: Mapping[str, Secret]) -> dict[str, str]:
    """Header fields whose values are secrets. Read anew each time: secrets are replaced.

    Raises:
        SinkError: one is not there, or no header can carry it.
    """
    found = {}
    for name, secret in headers.items():
        try:
            value = read_secret(secret)
        except SecretError as error:
            raise SinkError(f"header {name}: {error}") from None
        if not (value.isascii() and value.isprintable()):
            # What httpx would say of it holds the value.
            raise SinkError(f"header {name}: its value is not printable ASCII")
        found[name] = value
    return found


def rejected_in(answer: bytes) -> int:
    """How many a 200 says were rejected, of logs or of spans: both say it in the same bytes. An answer that cannot be
    read says nothing, as an empty one."""
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
