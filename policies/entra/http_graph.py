"""Groups from Microsoft Graph (`getMemberObjects`), with a token of our own. Edge: implements `GroupResolver`.

Sources: Microsoft Graph v1.0 `directoryObject: getMemberObjects` (transitive; at most 11,000 ids, else a 400);
Microsoft identity platform, "OAuth 2.0 client credentials flow".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from extproc.identity import CallerKind
from extproc.payload import PayloadError, read_object
from extproc.secret import SecretError, read_secret
from policies.entra.groups import Caller, GroupsUnavailableError
from policies.entra.http_fetch import FetchError, client, fetch
from policies.entra.issuer import GUID
from policies.entra.settings import Graph, is_loopback

MAX_ANSWER_BYTES: Final = 1 << 20
_PAUSE: Final = 10.0
_LONGEST_PAUSE: Final = 300.0
_EARLY: Final = 120.0
_COLLECTIONS: Final = {CallerKind.USER: "users", CallerKind.APP: "servicePrincipals"}


class HttpGraph:
    """Asks Graph about callers of the tenants that it is configured for. `authority` is where tokens come from."""

    def __init__(self, settings: Graph, authority: str, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._login = settings.login or authority
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    async def groups(self, caller: Caller) -> frozenset[str]:
        """See `GroupResolver`. The time-out covers obtaining a token as well."""
        if self._settings.tenant not in (None, caller.tenant):
            raise GroupsUnavailableError(f"not configured for tenant {caller.tenant}")
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._groups(caller)
        except TimeoutError:
            raise GroupsUnavailableError(f"no answer within {self._settings.timeout:g} s", _PAUSE) from None
        except SecretError as error:
            raise GroupsUnavailableError(str(error), _PAUSE) from None
        except FetchError as error:
            raise GroupsUnavailableError(str(error), _pause(error)) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _groups(self, caller: Caller) -> frozenset[str]:
        token = await self._token(caller.tenant)
        url = f"{self._settings.base_url}/v1.0/{_COLLECTIONS[caller.kind]}/{caller.user}/getMemberObjects"
        try:
            answer = await self._post(
                url,
                json={"securityEnabledOnly": self._settings.security_groups_only},
                headers={"authorization": f"Bearer {token}"},
            )
        except FetchError as error:
            if error.status == 401:
                self._tokens.pop(caller.tenant, None)
            raise
        groups = answer.get("value")
        if not isinstance(groups, list) or not all(isinstance(group, str) and GUID.fullmatch(group) for group in groups):
            raise FetchError(f"{url}: not a list of object ids")
        if "@odata.nextLink" in answer:
            raise FetchError(f"{url}: not all groups in one answer")
        return frozenset(groups)

    async def _token(self, tenant: str) -> str:
        held, good_until = self._tokens.get(tenant, ("", 0.0))
        now = self._clock()
        if now < good_until:
            return held
        url = f"{self._login}/{tenant}/oauth2/v2.0/token"
        answer = await self._post(
            url,
            data={
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": read_secret(self._settings.secret),
                "scope": f"{self._settings.base_url}/.default",
            },
        )
        token, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or type(lifetime) is not int:
            raise FetchError(f"{url}: no access_token with expires_in")
        self._tokens[tenant] = (token, now + max(0.0, lifetime - _EARLY))
        return token

    async def _post(self, url: str, **request: Any) -> dict[str, Any]:
        if self._client is None:
            bases = (self._login, self._settings.base_url)
            self._client = client(loopback=all(is_loopback(urlsplit(base).hostname or "") for base in bases))
        data = await fetch(self._client, self._client.build_request("POST", url, **request), max_bytes=MAX_ANSWER_BYTES)
        try:
            return read_object(data, what=url)
        except PayloadError as error:
            raise FetchError(str(error)) from None


def _pause(error: FetchError) -> float | None:
    """How long to leave Graph alone. Only a 400 or 404 is about the one caller."""
    if error.status in (400, 404):
        return None
    return min(_LONGEST_PAUSE, max(_PAUSE, error.retry_after or 0.0))
