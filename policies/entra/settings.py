"""The settings of the `entra` policy. docs/reference/entra.md explains each."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from extproc.policy import PolicySettings
from extproc.secret import Secret
from policies.entra.issuer import GUID, Version

GRAPH_AUDIENCES: Final = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})
MUTABLE_CLAIMS: Final = frozenset({"email", "upn", "preferred_username", "unique_name", "name", "verified_primary_email"})
"""People and their administrators change these, and other people may get them later: nothing is decided by them."""

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,250}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    host = parts.hostname
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("expected a URL with a host, and without credentials, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("expected https:// (http:// is for loopback addresses only)")
    return value.rstrip("/")


def _guid(value: str) -> str:
    lower = value.lower()
    if not GUID.fullmatch(lower):
        raise ValueError("expected a GUID such as 72f988bf-86f1-41af-91ab-2d7cd011db47")
    return lower


def _audience(value: str) -> str:
    if GUID.fullmatch(value.lower()):
        value = value.lower()
    elif not _URI.fullmatch(value):
        raise ValueError("expected a client id (GUID) or an App ID URI such as api://… or https://…")
    if value.rstrip("/") in GRAPH_AUDIENCES:
        raise ValueError("tokens for Microsoft Graph cannot be verified by anybody but Graph: name your own API")
    return value


def _claim_name(value: str) -> str:
    if value in MUTABLE_CLAIMS:
        raise ValueError(f"the claim {value!r} can be changed by people: nothing may be decided by it")
    return value


def _field_text(value: str) -> str:
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        raise ValueError("expected printable ASCII without quotes and backslashes")
    return value


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Guid = Annotated[str, AfterValidator(_guid)]
ClaimName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_claim_name)]
FieldText = Annotated[str, Field(max_length=512), AfterValidator(_field_text)]


class Tenant(PolicySettings):
    """A tenant whose tokens are accepted."""

    model_config = ConfigDict(json_schema_extra={"x-expected": "{id: GUID, name: …}"})

    id: Guid
    name: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9][a-z0-9_-]{0,62})?$",
            description="For people and metrics",
            json_schema_extra={"x-expected": "1 to 63 lower-case letters, digits, - and _, a letter or digit first"},
        ),
    ] = ""


class ClaimNames(PolicySettings):
    """Names of the claims from which facts about the caller are read. None: not read."""

    department: ClaimName | None = None
    cost_centre: ClaimName | None = None
    tenant_name: Annotated[ClaimName | None, Field(description="For tenants without a configured name")] = None


class Graph(PolicySettings):
    """Microsoft Graph, to learn the groups of callers who have more than a token can carry.

    The application needs the permissions User.Read.All and GroupMember.Read.All (Application.Read.All for the groups of
    applications), granted in each tenant whose callers are looked up.
    """

    client_id: Guid
    secret: Secret
    tenant: Annotated[Guid | None, Field(description="Look up callers of this tenant only")] = None
    login: Annotated[BaseUrl | None, Field(description="Where tokens are obtained; default: the authority")] = None
    base_url: BaseUrl = "https://graph.microsoft.com"
    security_groups_only: bool = True
    timeout: Annotated[float, Field(gt=0, le=30, description="Seconds for one look-up")] = 3.0
    remember: Annotated[float, Field(ge=1, le=3_600, description="Seconds that an answer is good for")] = 300.0
    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


class EntraSettings(PolicySettings):
    """What a token must be, and where the keys are that prove it."""

    audiences: Annotated[tuple[Annotated[str, AfterValidator(_audience)], ...], Field(min_length=1)]
    tenants: tuple[Tenant, ...] = ()
    any_tenant: Annotated[bool, Field(description="Accept every tenant; needs `keys: common`")] = False
    versions: Annotated[tuple[Version, ...], Field(min_length=1)] = ("1.0", "2.0")

    authority: BaseUrl = "https://login.microsoftonline.com"
    v1_issuer: BaseUrl = "https://sts.windows.net"
    fetch_from: Annotated[BaseUrl | None, Field(description="Where metadata and keys are; default: the authority")] = None
    keys: Literal["tenant", "common"] = "tenant"
    app_keys: Annotated[Guid | None, Field(description="Client id of an API with signing keys of its own")] = None
    refresh: Annotated[float, Field(ge=1, le=86_400, description="Seconds between refreshes of keys")] = 3_600.0
    max_age: Annotated[float, Field(ge=60, le=604_800, description="Seconds that keys are trusted without refresh")] = (
        86_400.0
    )
    unknown_key_cooldown: Annotated[float, Field(ge=1, le=86_400, description="Seconds")] = 300.0
    fetch_timeout: Annotated[float, Field(gt=0, le=30, description="Seconds for metadata and keys together")] = 3.0

    leeway: Annotated[int, Field(ge=0, le=300, description="Seconds by which clocks may differ")] = 60
    max_token_bytes: Annotated[int, Field(ge=1_024, le=65_536)] = 16_384
    token_cache_size: Annotated[int, Field(ge=0, le=1_000_000, description="Verified tokens; 0: none")] = 10_000
    claims: ClaimNames = ClaimNames()
    required_acrs: Annotated[
        tuple[Annotated[str, Field(pattern="^c[0-9]{1,2}$", description="an authentication context such as c1")], ...],
        Field(description="Authentication contexts that every token must have"),
    ] = ()
    graph: Graph | None = None

    realm: FieldText = "sluicegate"
    authorization_uri: Annotated[FieldText | None, Field(description="For challenges; default in claims challenges")] = (
        None
    )

    @model_validator(mode="after")
    def _fits_together(self) -> EntraSettings:
        if not self.tenants and not self.any_tenant:
            raise ValueError("`tenants` names at least one tenant (or say `any_tenant: true`)")
        if self.any_tenant and self.keys != "common":
            raise ValueError(
                "`any_tenant: true` needs `keys: common`: keys are never fetched for a tenant not named here"
            )
        for kind, values in (
            ("id", [tenant.id for tenant in self.tenants]),
            ("name", [tenant.name for tenant in self.tenants if tenant.name]),
        ):
            double = next((value for value in values if values.count(value) > 1), None)
            if double is not None:
                raise ValueError(f"tenants: the {kind} {double!r} stands twice")
        if self.max_age < self.refresh:
            raise ValueError("`max_age` is at least `refresh`: keys would be distrusted before they are refreshed")
        return self

    def accepted_audiences(self) -> frozenset[str]:
        """Every accepted `aud`. Entra writes App ID URIs with and without a trailing slash."""
        accepted = set(self.audiences)
        for audience in self.audiences:
            if "://" in audience:
                accepted |= {audience.rstrip("/"), audience.rstrip("/") + "/"}
        return frozenset(accepted)
