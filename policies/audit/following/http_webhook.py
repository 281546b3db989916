"""A sink that posts records to a URL. Edge: what httpx and ssl raise ends here.

A batch is one request: a JSON array, or a line for each record. A 2xx means that it has arrived. Whatever is about the
receiver (5xx, 408, 429, …, a redirect, no answer) is tried again; any other 4xx is about the records, and the batch is
halved until the one is found that is refused.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from extproc.secret import SecretError, read_secret
from policies.audit.following.settings import WebhookSettings, is_loopback
from policies.audit.following.signature import HEADER, ID_HEADER, batch_id, sign
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.record import Closed

_ANSWER: Final = 16_384
"""Bytes of an answer that are read, for the connection's sake. Nothing in them counts."""


class Webhook:
    """Posts. One connection, kept; made anew after a failure, with the files of `tls` as they are then."""

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float] = time.time) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        parts = urlsplit(settings.url)
        self._loopback = is_loopback(parts.hostname or "")
        # The path may hold a token, as it does with many receivers.
        self._place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """
        Raises:
            SinkError: a file of `tls` or a secret cannot be read.
        """
        self._connected()
        self._headers(b"")

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """See `Sink`. Of several records that are refused, the first is named: those before it have arrived."""
        # All before `start` has arrived; somewhere before `known` is a record that is refused, once a batch was.
        start, end, known = 0, len(batch), len(batch)
        while start < len(batch):
            status = await self._post(batch[start:end])
            if status is None:
                start = end
                if start == known:
                    known = len(batch)
                end = known
            elif end - start == 1:
                raise RejectedError((start,), f"{self._place} answered with status {status}", delivered=start)
            else:
                known, end = end, start + (end - start) // 2

    async def _post(self, batch: Sequence[Closed]) -> int | None:
        """None where the batch has arrived; the status by which it is refused.

        Raises:
            SinkError: try again.
        """
        body = self._body(batch)
        headers = self._headers(body) | {ID_HEADER: batch_id(batch)}
        try:
            async with asyncio.timeout(self._settings.timeout):
                status, retry_after = await self._exchange(body, headers)
        except TimeoutError:
            await self._forget()
            raise SinkError(f"{self._place}: no answer within {self._settings.timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            await self._forget()
            raise SinkError(f"{self._place}: {type(error).__name__}: {str(error)[:200]}") from None
        if 200 <= status < 300:
            return None
        if 400 <= status < 500 and status not in self._settings.retried:
            return status
        raise SinkError(f"{self._place} answered with status {status}", retry_after_of(retry_after, self._clock()))

    async def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        client = self._connected()
        request = client.build_request("POST", self._settings.url, content=body, headers=headers)
        response = await client.send(request, stream=True)
        try:
            seen = 0
            async for piece in response.aiter_raw():
                seen += len(piece)
                if seen > _ANSWER:
                    break
        finally:
            await response.aclose()
        return response.status_code, response.headers.get("retry-after", "")

    def _body(self, batch: Sequence[Closed]) -> bytes:
        if self._settings.format == "ndjson":
            return b"".join(closed.line + b"\n" for closed in batch)
        return b"[" + b",".join(closed.line for closed in batch) + b"]"

    def _headers(self, body: bytes) -> dict[str, str]:
        kind = "application/x-ndjson" if self._settings.format == "ndjson" else "application/json"
        try:
            headers = {name.lower(): read_secret(secret) for name, secret in self._settings.headers.items()}
            if self._settings.secret is not None:
                headers[HEADER] = sign(read_secret(self._settings.secret), self._clock(), body)
        except SecretError as error:
            raise SinkError(str(error)) from None
        for name, value in headers.items():
            # What httpx would say of it holds the value.
            if not (value.isascii() and value.isprintable()):
                raise SinkError(f"the value of the header field {name} is not printable ASCII")
        return headers | {"content-type": kind}

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                timeout=None,  # noqa: S113  (the whole exchange is bounded, which httpx's own time-outs do not)
                trust_env=not self._loopback,
                verify=self._trust(),
                headers={"accept": "*/*", "accept-encoding": "identity", "user-agent": "sluicegate"},
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            )
        return self._client

    def _trust(self) -> ssl.SSLContext:
        tls = self._settings.tls
        try:
            context = ssl.create_default_context(cafile=tls.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if tls.certificate is not None:
                context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ValueError) as error:
            raise SinkError(f"the files of `tls` cannot be used: {type(error).__name__}") from None
        return context

    async def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                async with asyncio.timeout(1.0):
                    await client.aclose()
            except (TimeoutError, httpx.HTTPError, OSError):
                return


def retry_after_of(value: str, now: float) -> float | None:
    """Seconds that a receiver asks to be left alone (RFC 9110 section 10.2.3: seconds, or a date); None: it does not."""
    if value.isascii() and value.isdigit() and len(value) < 8:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # "-0000" is a date without a zone: it is UTC (RFC 5322 section 3.3).
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, known.timestamp() - now)
