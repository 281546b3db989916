"""Which tenant issued a token, and whether a key may sign for it.

Issuers are compared as exact strings, as Microsoft's "Secure applications and APIs by validating claims" and "Access
tokens in the Microsoft identity platform" ask; only `{tenantid}` in a key's own issuer is a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from policies.entra.refusal import Reason, RefusedError, shown

Version: TypeAlias = Literal["1.0", "2.0"]

COMMON: Final = "common"
GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Entra writes GUIDs in lower case; any other spelling is somebody else's."""
_PLACEHOLDER: Final = re.compile(r"\{tenantid\}", re.IGNORECASE)


class KeyPlace(NamedTuple):
    """Where keys are published: the metadata of a tenant (a GUID, or `common`) for tokens of a version."""

    tenant: str
    version: Version


class Authority(NamedTuple):
    """The names under which a cloud issues tokens, without trailing slashes."""

    v2: str
    v1: str

    def issuer(self, version: Version, tenant: str) -> str:
        """The `iss` of that tenant's tokens (or the template of it, for `{tenantid}`)."""
        return f"{self.v2}/{tenant}/v2.0" if version == "2.0" else f"{self.v1}/{tenant}/"

    def metadata_issuer(self, place: KeyPlace) -> str:
        """The issuer that the metadata at `place` must state."""
        return self.issuer(place.version, "{tenantid}" if place.tenant == COMMON else place.tenant)


def issued_by(claims: Mapping[str, Any], authority: Authority, versions: Iterable[Version]) -> tuple[str, Version]:
    """The tenant and version that the token states, if its `ver`, `tid` and `iss` agree with each other.

    Raises:
        RefusedError: they do not, or the version is not accepted.
    """
    stated = claims.get("ver")
    version = next((known for known in versions if known == stated), None)
    if version is None:
        raise RefusedError(Reason.VERSION, shown(stated))
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not GUID.fullmatch(tenant):
        raise RefusedError(Reason.TENANT_ID, shown(tenant))
    issuer = claims.get("iss")
    expected = authority.issuer(version, tenant)
    if issuer != expected:
        raise RefusedError(Reason.ISSUER, f"{shown(issuer)} is not the issuer of version {version} and tenant {tenant}")
    return tenant, version


def key_place(tenant: str, version: Version, *, common: bool) -> KeyPlace:
    """Where the keys of that tenant's tokens are published.

    The `common` keys of version 1 carry no issuer, so nothing would say for which tenants they sign. The same keys stand
    in version 2 with their issuers: with `common`, tokens of both versions are verified with those.
    """
    return KeyPlace(COMMON, "2.0") if common else KeyPlace(tenant, version)


def may_sign(
    key_issuers: frozenset[str | None], authority: Authority, tenant: str, version: Version, *, common: bool
) -> bool:
    """Whether a key with these issuers may sign tokens of `tenant`.

    A key's issuer is compared with the token's and with its version 2 form, as Microsoft.IdentityModel does
    (AadSigningKeyIssuerValidator). A key without issuer is good only where the key set itself belongs to the tenant:
    among the `common` keys are those that sign for consumer accounts.
    """
    forms = (authority.issuer(version, tenant), authority.issuer("2.0", tenant))
    for issuer in key_issuers:
        if issuer is None:
            if not common:
                return True
        elif same_issuer(issuer, forms[0], tenant) or same_issuer(issuer, forms[1], tenant):
            return True
    return False


def same_issuer(template: str, issuer: str, tenant: str) -> bool:
    """Whether `template`, with `{tenantid}` (in any case) replaced by the tenant, is exactly `issuer`."""
    return _PLACEHOLDER.sub(lambda _: tenant, template) == issuer
