"""From an unverified token and the key it names to a verified caller.

The signature is verified by PyJWT's `RSAAlgorithm` (cryptography underneath). PyJWT's own reading of the token is not
used: it accepts duplicate names, `exp` as a string, any `typ` and tokens without `exp`, and checks base64 character by
character (327 us for a token of 11 kB, where all that is done here for the signature takes 20 us).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from jwt.algorithms import RSAAlgorithm

from policies.entra.claims import ClaimRules, Verified, identify
from policies.entra.issuer import Authority, KeyPlace, Version, issued_by, key_place, may_sign
from policies.entra.jwks import Key
from policies.entra.refusal import Reason, Refusal, RefusedError
from policies.entra.settings import EntraSettings
from policies.entra.token import Token

_RS256: Final = RSAAlgorithm(RSAAlgorithm.SHA256)


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that a token must satisfy."""

    authority: Authority
    versions: tuple[Version, ...]
    claims: ClaimRules
    common: bool = False
    any_tenant: bool = False

    @classmethod
    def of(cls, settings: EntraSettings) -> Rules:
        names: Mapping[str, str] = {tenant.id: tenant.name for tenant in settings.tenants}
        return cls(
            authority=Authority(v2=settings.authority, v1=settings.v1_issuer),
            versions=settings.versions,
            claims=ClaimRules(
                settings.accepted_audiences(), names, settings.leeway, settings.claims, settings.required_acrs
            ),
            common=settings.keys == "common",
            any_tenant=settings.any_tenant,
        )

    def key_places(self) -> tuple[KeyPlace, ...]:
        """Every place from which keys may ever be fetched."""
        tenants = self.claims.tenants if not self.common else ("",)
        places = (key_place(tenant, version, common=self.common) for tenant in tenants for version in self.versions)
        return tuple(dict.fromkeys(places))


@dataclass(frozen=True, slots=True)
class Located:
    """A token that states an accepted issuer, and where its key must be looked for."""

    token: Token = field(repr=False)
    tenant: str
    version: Version
    place: KeyPlace


def locate(token: Token, rules: Rules) -> Located | Refusal:
    """Where the key of the token is to be found. Only tenants of the allow-list lead anywhere."""
    try:
        tenant, version = issued_by(token.claims, rules.authority, rules.versions)
    except RefusedError as error:
        return error.refusal
    if not rules.any_tenant and tenant not in rules.claims.tenants:
        return Refusal(Reason.TENANT_NOT_ALLOWED, tenant)
    return Located(token, tenant, version, key_place(tenant, version, common=rules.common))


def verify(located: Located, key: Key, rules: Rules, now: float) -> Verified | Refusal:
    """Who calls. `key` is the one that the token names, of the key set at `located.place`."""
    token, tenant, version = located.token, located.tenant, located.version
    if not may_sign(key.issuers, rules.authority, tenant, version, common=rules.common):
        return Refusal(Reason.KEY_ISSUER, f"key {key.key_id} does not sign for tenant {tenant}")
    if not _RS256.verify(token.signed, key.public, token.signature):
        return Refusal(Reason.SIGNATURE, f"key {key.key_id}")
    return identify(token.claims, tenant, version, rules.claims, now)
