"""What the tests of this policy share: a clock that is set by hand, a key source without network, an exchange."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

from extproc.exchange import Exchange, Headers, Request
from extproc.outcome import Reject, RequestOutcome
from policies.entra.issuer import KeyPlace
from policies.entra.jwks import Keys, read_keys
from policies.entra.keys import KeyCache, KeysUnavailableError, KeyTimes
from policies.entra.policy import EntraPolicy
from policies.entra.settings import EntraSettings
from policies.entra.verify import Rules
from tests.entra_tokens import API, CONTOSO, FABRIKAM, Issuer

NOW = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeSource:
    """A key source that answers from an `Issuer`. `down` makes it fail; with `held` set, it answers once `held` is."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.fetched: list[KeyPlace] = []
        self.down = False
        self.held: asyncio.Event | None = None
        self.closed = False

    async def fetch(self, place: KeyPlace) -> Keys:
        self.fetched.append(place)
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(0)
        if self.down:
            raise KeysUnavailableError("provider is down")
        return keys_of(self.issuer, place)

    async def close(self) -> None:
        self.closed = True


def keys_of(issuer: Issuer, place: KeyPlace) -> Keys:
    return read_keys(json.dumps(issuer.jwks(place.tenant, place.version)).encode(), "microsoftonline.com")


def settings(**changes: Any) -> EntraSettings:
    return EntraSettings.model_validate(
        {
            "audiences": [API, "api://gateway"],
            "tenants": [{"id": CONTOSO, "name": "contoso"}, {"id": FABRIKAM, "name": "fabrikam"}],
            **changes,
        }
    )


class World:
    """The policy over a fake source."""

    def __init__(self, issuer: Issuer | None = None, source: FakeSource | None = None, **changes: Any) -> None:
        self.issuer = issuer or Issuer()
        self.clock = Clock()
        self.source = source or FakeSource(self.issuer)
        self.settings = settings(**changes)
        rules = Rules.of(self.settings)
        times = KeyTimes(self.settings.refresh, self.settings.max_age, self.settings.unknown_key_cooldown)
        self.keys = KeyCache(self.source, rules.key_places(), times, self.clock, jitter=lambda: 0.5)
        self.policy = EntraPolicy(self.settings, self.clock, self.keys)

    def token(self, *arguments: Any, **changes: Any) -> str:
        return self.issuer.token(*arguments, **{"now": self.clock.now, **changes})

    async def ask(self, exchange: Exchange) -> RequestOutcome:
        answer = self.policy.on_request_headers(exchange)
        return await answer if inspect.isawaitable(answer) else answer

    async def bear(self, token: str) -> tuple[RequestOutcome, Exchange]:
        exchange = bearing(token)
        return await self.ask(exchange), exchange


def request(*fields: tuple[str, str]) -> Exchange:
    headers = Headers([("accept", "*/*"), ("user-agent", "tests"), *fields])
    return Exchange("e1", Request("POST", "/v1/chat/completions", "", "gateway", "https", headers, "r1"), explaining=True)


def bearing(token: str) -> Exchange:
    return request(("authorization", f"Bearer {token}"))


def rejected(outcome: RequestOutcome) -> Reject:
    assert isinstance(outcome, Reject), outcome
    return outcome


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something is so; fails after a few seconds."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)
