"""Keys over HTTPS: metadata, then the key set it points to. Edge: implements `KeySource`."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from policies.entra.http_fetch import FetchError, client, fetch
from policies.entra.issuer import COMMON, Authority, KeyPlace, same_issuer
from policies.entra.jwks import Keys, read_keys, read_metadata
from policies.entra.keys import KeysUnavailableError
from policies.entra.settings import is_loopback

MAX_DOCUMENT_BYTES: Final = 1 << 20


class HttpKeySource:
    """Fetches from `base` (`https://login.microsoftonline.com`), and from no other origin.

    `app` is the client id of an API that has signing keys of its own (claims mapping).
    """

    def __init__(self, base: str, authority: Authority, *, timeout: float, app: str | None = None) -> None:
        self._base = httpx.URL(base)
        self._authority = authority
        self._timeout = timeout
        self._query = f"?appid={app}" if app else ""
        self._client: httpx.AsyncClient | None = None

    async def fetch(self, place: KeyPlace) -> Keys:
        """See `KeySource`. The time-out covers both documents."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._fetch(place)
        except FetchError as error:
            raise KeysUnavailableError(str(error)) from error
        except TimeoutError:
            raise KeysUnavailableError(f"{self._base}: no keys within {self._timeout:g} s") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _fetch(self, place: KeyPlace) -> Keys:
        url = metadata_url(self._base, place)
        document = await self._get(url + self._query)
        try:
            metadata = read_metadata(document)
        except ValueError as error:
            raise KeysUnavailableError(f"{url}: {error}") from None
        expected = self._authority.metadata_issuer(place)
        if not same_issuer(metadata.issuer, expected, "{tenantid}" if place.tenant == COMMON else place.tenant):
            raise KeysUnavailableError(f"{url}: states the issuer {metadata.issuer[:200]!r}, not {expected!r}")
        document = await self._get(metadata.jwks_uri)
        try:
            return read_keys(document, metadata.cloud)
        except ValueError as error:
            raise KeysUnavailableError(f"{metadata.jwks_uri[:200]!r}: {error}") from None

    async def _get(self, url: str) -> bytes:
        try:
            target = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise FetchError(f"{url[:200]!r} is not a URL") from None
        if not same_origin(target, self._base):
            raise FetchError(f"{url[:200]!r} is not at {self._base}")
        if self._client is None:
            self._client = client(loopback=is_loopback(self._base.host))
        return await fetch(self._client, self._client.build_request("GET", target), max_bytes=MAX_DOCUMENT_BYTES)


def metadata_url(base: httpx.URL, place: KeyPlace) -> str:
    """Where the metadata for tokens of that tenant and version is published."""
    version = "/v2.0" if place.version == "2.0" else ""
    return f"{str(base).rstrip('/')}/{place.tenant}{version}/.well-known/openid-configuration"


def same_origin(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether `url` has the scheme, host and port of `base` (RFC 6454), and no credentials.

    What is compared is the very object that is requested: two parsers of one text can see two hosts.
    """
    return not url.userinfo and (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
