"""One HTTP exchange with a provider, bounded in size and time. Edge: what httpx raises ends here."""

from __future__ import annotations

import httpx


class FetchError(Exception):
    """The exchange failed, or its answer is not usable. `status` is the answer's, where there was one."""

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def client(*, loopback: bool) -> httpx.AsyncClient:
    """A client that follows no redirect. It obeys `HTTPS_PROXY` and `SSL_CERT_FILE`, but takes no proxy to loopback."""
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=None,  # noqa: S113  (callers bound the whole exchange, which httpx's own time-outs do not)
        trust_env=not loopback,
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "sluicegate"},
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=4),
    )


async def fetch(http: httpx.AsyncClient, request: httpx.Request, *, max_bytes: int) -> bytes:
    """The body of a 200 answer. The caller bounds the time (`asyncio.timeout`).

    Raises:
        FetchError: another status (redirects too), compressed, too large, or no answer.
    """
    where = str(request.url.copy_with(query=None))
    try:
        response = await http.send(request, stream=True)
        try:
            return await _body(response, where, max_bytes)
        finally:
            await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        raise FetchError(f"{where}: {type(error).__name__}: {str(error)[:200]}") from error


async def _body(response: httpx.Response, where: str, max_bytes: int) -> bytes:
    if response.status_code != 200:
        wait = response.headers.get("retry-after", "")
        after = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else None
        raise FetchError(f"{where}: status {response.status_code}", response.status_code, after)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchError(f"{where}: compressed, though that was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_bytes:
            raise FetchError(f"{where}: larger than {max_bytes} bytes")
    return bytes(body)
