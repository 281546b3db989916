"""The configuration: one YAML file, read strictly.

Unknown keys are refused, secrets are references (an environment variable or a file), and every mistake is reported with
its path and what was expected, all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from extproc.addresses import is_everywhere, listening_ip, socket_address, upstream_url
from extproc.catalogue import Agent, Catalogue, Opaque, Provider, Upstream
from extproc.consistency import inconsistencies
from extproc.contracts import Prices, with_contracts
from extproc.endpoints import covered_calls
from extproc.mistakes import ConfigurationError, describe
from extproc.model_settings import ModelEntry, spell_out_models
from extproc.paths import is_normal
from extproc.placement import MAX_WORKERS, Placement, place
from extproc.policy import FailureMode
from extproc.secret import Secret

_DNS_NAME: Final = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
_SOCKET_ADDRESS: Final = r"^(unix:/.+|[^/]+:[0-9]{1,5})$"
_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[
    str,
    Field(
        pattern=_NAME,
        json_schema_extra={"x-expected": "1 to 63 lower-case letters, digits, - and _, a letter or digit first"},
    ),
]
Seconds = Annotated[float, Field(ge=0.001, le=86_400, strict=True)]
Port = Annotated[int, Field(ge=0, le=65_535, strict=True)]
Url = Annotated[str, AfterValidator(upstream_url)]


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+")
FieldName = Annotated[
    str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", description="the name of a header field")
]
"""RFC 9110 section 5.1. Written into a header field by Envoy as it is: a line break in it would begin another."""


class TlsFiles(Section):
    """Certificate chain and private key, PEM."""

    certificate: str
    key: str


class Cors(Section):
    """Cross-origin requests of browsers. Off unless this section is there."""

    allow_origins: Annotated[tuple[str, ...], Field(min_length=1, description="Exact origins; `*` is not accepted")]
    allow_headers: tuple[FieldName, ...] = ("authorization", "content-type", "api-key", "x-api-key")
    max_age: Annotated[int, Field(ge=0, le=86_400, strict=True, description="Seconds")] = 600

    @model_validator(mode="after")
    def _no_wildcard(self) -> Cors:
        if any("*" in origin for origin in self.allow_origins):
            raise ValueError("expected exact origins, not a wildcard")
        if any(not _ORIGIN.fullmatch(origin) for origin in self.allow_origins):
            raise ValueError("expected origins such as https://app.example, without a path")
        return self


class Listen(Section):
    """Where clients connect: HTTP/1.1 and HTTP/2, without TLS unless certificates are given."""

    address: Annotated[str, AfterValidator(listening_ip)] = "127.0.0.1"
    port: Port = 8080
    tls: TlsFiles | None = None
    cors: Cors | None = None


class EnvoyTls(Section):
    """What Envoy shows the policy server, and how it knows it: PEM files as Envoy sees them."""

    certificate: str
    key: str
    ca: str
    server_name: Annotated[str, Field(pattern=_DNS_NAME, description="a DNS name in the policy server's certificate")]
    host: (
        Annotated[str, Field(pattern=_DNS_NAME, description="a host name or IPv4 address by which Envoy reaches it")]
        | None
    ) = None


class ServerTls(Section):
    """Mutual TLS between Envoy and the policy server, PEM files. They are taken anew when they change."""

    certificate: str
    key: str
    client_ca: Annotated[str, Field(description="Authorities of the certificates that clients must show")]
    client_names: Annotated[
        tuple[str, ...], Field(description="DNS names or URIs, one of which a client's certificate must hold")
    ] = ()
    envoy: EnvoyTls


class Server(Section):
    """The policy server."""

    profile: Annotated[Literal["plain", "ai-gateway"], Field(description="Whose Envoy it is asked by")] = "plain"
    transport: Literal["wire", "grpcio"] = "wire"
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS, strict=True, description="Processes that decide")] = 1
    listen: Annotated[
        str,
        Field(pattern=_SOCKET_ADDRESS, description="unix:/path or host:port"),
        AfterValidator(socket_address),
    ] = "unix:/tmp/sluicegate/policy.sock"
    tls: ServerTls | None = None
    decision_timeout: Annotated[Seconds, Field(description="Seconds for all policies of one message")] = 5.0
    grace: Annotated[Seconds, Field(description="Seconds for exchanges in flight at shutdown")] = 10.0
    admin: (
        Annotated[
            str,
            Field(pattern=_SOCKET_ADDRESS, description="unix:/path or host:port"),
            AfterValidator(socket_address),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _has_room(self) -> Server:
        self.placement()
        if self.workers > 1 and self.transport != "wire":
            raise ValueError(f"`workers: {self.workers}` needs `transport: wire`: {self.transport} cannot share a socket")
        return self

    @model_validator(mode="after")
    def _tls_is_for_networks(self) -> Server:
        if self.tls is not None and self.listen.startswith("unix:"):
            raise ValueError("`tls` is for `listen: host:port`: a unix socket is its owner's alone")
        if self.tls is not None and self.transport != "wire":
            raise ValueError(f"`tls` needs `transport: wire`: {self.transport} would serve without it")
        if self.tls is not None and self.tls.envoy.host is None and is_everywhere(self.listen):
            raise ValueError(f"`tls.envoy.host` is needed: Envoy cannot connect to {self.listen}")
        return self

    def placement(self) -> Placement:
        """Where its processes listen."""
        return place(self.listen, self.workers)


class Timeouts(Section):
    """Seconds. `idle` and `stream_idle` bound the silence in plain and in streamed exchanges, `total` the whole."""

    connect: Seconds = 5.0
    idle: Seconds = 60.0
    stream_idle: Seconds = 120.0
    total: Seconds = 180.0


class UpstreamEntry(Section):
    """An LLM provider.

    `url` is what an SDK would be given as base URL: `https://api.openai.com/v1`, `https://NAME.openai.azure.com` (with
    `api_version`, deployments in the path) or `https://NAME.openai.azure.com/openai/v1`, `https://api.anthropic.com`.
    """

    name: Name
    provider: Provider
    url: Url
    api_version: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9.-]{1,32}$",
                description="Azure's; deployments go into the path then",
                json_schema_extra={"x-expected": "a version such as 2024-10-21"},
            ),
        ]
        | None
    ) = None
    credential: Secret | None = None
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    identity_headers: Annotated[bool, Field(description="Tell the upstream who calls")] = False
    region: (
        Annotated[str, Field(min_length=1, max_length=64, description="Where it is, for contracts by region")] | None
    ) = None

    @model_validator(mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "models" in value:
            return {**value, "models": spell_out_models(value["models"])}
        return value

    @model_validator(mode="after")
    def _api_version_is_azures(self) -> UpstreamEntry:
        if self.api_version is not None and self.provider is not Provider.AZURE:
            raise ValueError("`api_version` belongs to `provider: azure`")
        return self


class AgentEntry(Section):
    """An agent backend, reachable at `/agents/{name}/` and nowhere else."""

    name: Name
    url: Url
    credential: Secret | None = None
    identity_headers: bool = True
    forward_token: Annotated[bool, Field(description="Pass the caller's own token on to the backend")] = False

    @model_validator(mode="after")
    def _one_authorization(self) -> AgentEntry:
        if self.forward_token and self.credential is not None:
            raise ValueError("`forward_token` and `credential` would both set `authorization`: choose one")
        return self


class OpaqueEntry(Section):
    """A route whose bodies pass unread (files, batches, audio): counted as requests, not as tokens."""

    name: Name
    path: Annotated[
        str,
        Field(
            pattern=r"^/[A-Za-z0-9._~/-]*(/\*)?$",
            max_length=256,
            json_schema_extra={"x-expected": "a path such as /v1/files, or /v1/files/* for all below it"},
        ),
    ]
    upstream: Name
    methods: Annotated[tuple[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], ...], Field(min_length=1)] = (
        "GET",
        "POST",
        "DELETE",
    )

    @model_validator(mode="after")
    def _leaves_calls_alone(self) -> OpaqueEntry:
        if not is_normal(self.path.removesuffix("*")):
            raise ValueError("`path`: expected a path without empty segments or dots; no other is ever matched")
        if calls := covered_calls(self.path):
            # Another spelling of a call would pass unread, and its tokens uncounted.
            raise ValueError(f"`path`: {self.path} covers {calls[0]}, which must be read; name the paths below it")
        return self


class PolicyEntry(Section):
    """A policy, found by its entry-point name. The list of policies is their order."""

    policy: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]*$",
            json_schema_extra={"x-expected": "the name of an installed policy: lower-case letters, digits and _"},
        ),
    ]
    failure: FailureMode = FailureMode.CLOSED
    shadow: Annotated[bool, Field(description="Record the verdict, do not enforce it")] = False
    settings: dict[str, Any] = Field(default_factory=dict)


_TAKEN_FIELDS: Final = ("x-sluicegate-", "x-envoy-", "x-forwarded-", "x-ai-eg-", "x-api-key", "x-request-id")


class IdentityHeaders(Section):
    """Names of the headers in which upstreams are told who calls. Sent by a client, they are removed."""

    tenant: str = "x-tenant-id"
    user: str = "x-user-id"
    roles: str = "x-user-roles"
    app: str = "x-app-id"
    department: str = "x-department"

    def names(self) -> tuple[str, ...]:
        return (self.tenant, self.user, self.roles, self.app, self.department)

    @model_validator(mode="after")
    def _field_names(self) -> IdentityHeaders:
        for name in self.names():
            if not re.fullmatch(r"x-[a-z0-9-]{1,60}", name):
                raise ValueError(f"expected a lower-case field name that begins with x-, not {name!r}")
            if name.startswith(_TAKEN_FIELDS):
                raise ValueError(f"{name!r} has another meaning already: choose another field name")
        if len(set(self.names())) < len(self.names()):
            raise ValueError("expected five different field names")
        return self


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    server: Server = Server()
    timeouts: Timeouts = Timeouts()
    max_body_bytes: Annotated[int, Field(ge=1024, le=67_000_000, strict=True)] = 50 * 1024 * 1024
    identity_headers: IdentityHeaders = IdentityHeaders()
    upstreams: tuple[UpstreamEntry, ...] = ()
    agents: tuple[AgentEntry, ...] = ()
    opaque: tuple[OpaqueEntry, ...] = ()
    prices: Prices = Prices()
    policies: Annotated[tuple[PolicyEntry, ...], Field(min_length=1)]

    def catalogue(self) -> Catalogue:
        """What there is to call, in the vocabulary of policies."""
        return Catalogue(
            upstreams=tuple(
                Upstream(
                    name=entry.name,
                    provider=entry.provider,
                    base_path=urlsplit(entry.url).path,
                    api_version=entry.api_version,
                    models=tuple(model.model() for model in entry.models),
                    identity_headers=entry.identity_headers,
                    region=entry.region,
                    url=entry.url,
                )
                for entry in self.upstreams
            ),
            agents=tuple(
                Agent(entry.name, urlsplit(entry.url).path, entry.identity_headers, entry.forward_token)
                for entry in self.agents
            ),
            opaque=tuple(
                Opaque(entry.name, entry.path, entry.upstream, frozenset(entry.methods)) for entry in self.opaque
            ),
            terms=self.prices.terms(),
        )


def parse(tree: Any) -> Settings:
    """The settings of a tree.

    Raises:
        ConfigurationError: with every mistake in it.
    """
    mistakes: list[str] = []
    if isinstance(tree, Mapping):
        tree, wrong = with_contracts(tree)
        mistakes = [*inconsistencies(tree), *wrong]
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError([*describe(error, Settings), *mistakes]) from error
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings
