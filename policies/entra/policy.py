"""The `entra` policy: who is calling, proved by an access token of Microsoft Entra ID.

The usual request is decided without waiting: its token was verified before, or its key is at hand. Only fetching keys
and asking Graph for groups is awaited.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar

from msgspec.structs import replace

from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.outcome import CONTINUE, RequestOutcome
from extproc.policy import Policy, PolicySettings, RequestAnswer, Surroundings
from extproc.recorder import Event, Recorder
from policies.entra.challenge import Realm, reject
from policies.entra.claims import Verified
from policies.entra.groups import Caller, GroupCache, Groups
from policies.entra.http_graph import HttpGraph
from policies.entra.http_keys import HttpKeySource
from policies.entra.jwks import Key
from policies.entra.keys import Due, Found, KeyCache, KeyTimes, Unavailable
from policies.entra.refusal import Reason, Refusal
from policies.entra.settings import EntraSettings
from policies.entra.token import parse_token, read_bearer, read_credential
from policies.entra.verified_cache import Remembered, VerifiedCache
from policies.entra.verify import Located, Rules, locate, verify


class EntraPolicy(Policy):
    """Provides `Identity`, or refuses."""

    __slots__ = ("_clock", "_groups", "_keys", "_max_token_bytes", "_realm", "_recorder", "_rules", "_verified")

    name: ClassVar[str] = "entra"
    Settings: ClassVar[type[PolicySettings]] = EntraSettings
    provides: ClassVar[tuple[type[Any], ...]] = (Identity,)
    may_fail_open: ClassVar[bool] = False

    def __init__(
        self,
        settings: EntraSettings,
        clock: Callable[[], float],
        keys: KeyCache,
        groups: GroupCache | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._rules = Rules.of(settings)
        self._max_token_bytes = settings.max_token_bytes
        self._realm = Realm(
            settings.realm, settings.authorization_uri, f"{settings.authority}/common/oauth2/v2.0/authorize"
        )
        self._clock = clock
        self._keys = keys
        self._groups = groups
        self._recorder = recorder or Recorder()
        self._verified = VerifiedCache(settings.token_cache_size)

    @classmethod
    def build(cls, settings: EntraSettings, surroundings: Surroundings) -> EntraPolicy:
        rules, clock = Rules.of(settings), surroundings.clock
        source = HttpKeySource(
            settings.fetch_from or settings.authority,
            rules.authority,
            timeout=settings.fetch_timeout,
            app=settings.app_keys,
        )
        times = KeyTimes(settings.refresh, settings.max_age, settings.unknown_key_cooldown)
        groups = None
        if settings.graph is not None:
            resolver = HttpGraph(settings.graph, settings.authority, clock)
            graph = settings.graph
            groups = GroupCache(resolver, remember=graph.remember, size=graph.cache_size, clock=clock)
        keys = KeyCache(source, rules.key_places(), times, clock)
        surroundings.metrics.gauge(
            "sluicegate_entra_keys_age_seconds",
            "Since signing keys were fetched last: of the tenant, and the process, that was longest without.",
            merge="max",
            read=lambda: {(): int(keys.age(clock()))},
        )
        return cls(settings, clock, keys, groups, surroundings.recorder)

    async def start(self) -> None:
        self._keys.start()

    async def stop(self) -> None:
        await self._keys.stop()
        if self._groups is not None:
            await self._groups.close()

    def readiness(self) -> str | None:
        return self._keys.lacking(self._clock())

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        now = self._clock()
        headers = exchange.request.headers
        credential = read_credential(headers, self._max_token_bytes)
        if isinstance(credential, Refusal):
            return self._refuse(exchange, credential)
        # No two texts have the same bytes in this encoding, and none lacks one.
        digest = sha256(credential.encode("utf-8", "surrogatepass")).digest()
        remembered = self._verified.get(digest, now)
        if remembered is not None:
            if self._keys.holds(remembered.place, remembered.key, now):
                return self._admit(exchange, remembered.verified, now)
            self._verified.forget(digest)
        # Only now: what is remembered was a token, and to look at each of its characters takes as long as all the rest.
        bearer = read_bearer(headers, self._max_token_bytes)
        if isinstance(bearer, Refusal):
            return self._refuse(exchange, bearer)
        token = parse_token(bearer)
        located = token if isinstance(token, Refusal) else locate(token, self._rules)
        if isinstance(located, Refusal):
            return self._refuse(exchange, located)
        found = self._keys.find(located.place, located.token.key_id, now)
        if isinstance(found, Due):
            return self._after_fetch(exchange, digest, located)
        return self._judge(exchange, digest, located, found, now)

    async def _after_fetch(self, exchange: Exchange, digest: bytes, located: Located) -> RequestOutcome:
        await self._keys.refresh(located.place)
        now = self._clock()
        found = self._keys.find_now(located.place, located.token.key_id, now)
        answer = self._judge(exchange, digest, located, found, now)
        return answer if isinstance(answer, RequestOutcome) else await answer

    def _judge(self, exchange: Exchange, digest: bytes, located: Located, found: Found, now: float) -> RequestAnswer:
        if not isinstance(found, Key):
            return self._refuse(exchange, _without_key(located, found))
        verified = verify(located, found, self._rules, now)
        if isinstance(verified, Refusal):
            return self._refuse(exchange, verified)
        if self._recorder.is_kept and self._verified.get(digest, now) is None:
            # Of several exchanges that waited for the keys of one token, the first tells of it.
            self._recorder.tell(_accepted(verified.identity, exchange))
        self._verified.put(digest, Remembered(verified, located.place, found))
        return self._admit(exchange, verified, now)

    def _admit(self, exchange: Exchange, verified: Verified, now: float) -> RequestAnswer:
        for note in verified.notes:
            exchange.note(note)
        identity = verified.identity
        if identity.groups_known or self._groups is None:
            exchange.note("%s", _Who(identity))
            exchange.put(identity)
            return CONTINUE
        caller = Caller(identity.tenant, identity.user, identity.kind)
        answered, groups = self._groups.known(caller, now)
        if not answered:
            return self._after_groups(exchange, identity, caller, self._groups)
        return _with_groups(exchange, identity, groups, self._groups.error)

    async def _after_groups(
        self, exchange: Exchange, identity: Identity, caller: Caller, cache: GroupCache
    ) -> RequestOutcome:
        return _with_groups(exchange, identity, await cache.learn(caller), cache.error)

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> RequestOutcome:
        exchange.note("refused: %s", refusal.why)
        return reject(refusal, self._realm)


def _accepted(identity: Identity, exchange: Exchange) -> Event:
    values = {
        "request_id": exchange.request.request_id,
        "exchange_id": exchange.id,
        "tenant_id": identity.tenant,
        "tenant": identity.tenant_name,
        "user_id": identity.user,
        "app_id": identity.app,
        "caller": identity.kind.value,
        # Entra's `uti`: by it the token is found in the sign-in logs.
        "subject": identity.token_id,
    }
    return Event("authentication.accepted", values)


def _without_key(located: Located, found: Found) -> Refusal:
    if isinstance(found, Unavailable):
        return Refusal(Reason.KEYS_UNAVAILABLE, found.error, retry_after=found.retry_after)
    return Refusal(Reason.UNKNOWN_KEY, f"{located.token.key_id} at {located.place.tenant}")


def _with_groups(exchange: Exchange, identity: Identity, groups: Groups, error: str) -> RequestOutcome:
    if groups is None:
        exchange.note("the groups could not be learnt: %s", error)
    else:
        exchange.note("%d groups from Microsoft Graph", len(groups))
        identity = replace(identity, groups=groups, groups_known=True)
    exchange.note("%s", _Who(identity))
    exchange.put(identity)
    return CONTINUE


class _Who:
    """The caller in a line. Put together only if somebody reads it: `explain` does, the gateway does not."""

    __slots__ = ("_identity",)

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def __str__(self) -> str:
        who = self._identity
        groups = f"{len(who.groups)} groups" if who.groups_known else "groups unknown"
        roles = f"roles {', '.join(sorted(who.roles))}" if who.roles else "no roles"
        return f"{who.kind} {who.user} of tenant {who.tenant_name or who.tenant}, {roles}, {groups}"
