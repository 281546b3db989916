"""Settings of the sinks of this package. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from extproc.secret import Secret
from policies.audit.following.settings import Match, SinkSettings, WebhookTls, is_loopback
from policies.audit.record import Name

MIB: Final = 1 << 20
FACILITIES: Final = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "authpriv": 10, "audit": 13,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
"""Codes of RFC 5424, section 6.2.1, by the names that collectors give them; `audit` is "log audit"."""
_RESOURCE_BYTES: Final = 4_096
_HOST: Final = r"^[A-Za-z0-9._:-]{1,253}$"
_Host: TypeAlias = Annotated[str, Field(pattern=_HOST, description="a name or address")]
_Visible: TypeAlias = Annotated[str, Field(pattern=r"^[!-~]{1,255}$", description="visible ASCII, without spaces")]
_FIELD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_OWN_FIELDS: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding", "upgrade"}
)


class SyslogTls(WebhookTls):
    """TLS as RFC 5425 has it: the certificate of the collector is verified, always."""

    server_name: Annotated[_Host | None, Field(description="The name in its certificate, where that is not `host`")] = (
        None
    )


class SyslogSettings(SinkSettings):
    """A syslog collector, over TCP or TLS. Plain TCP has no acknowledgement: see `resend_seconds`."""

    kind: Literal["syslog"]
    host: Annotated[str, Field(pattern=_HOST, description="Name or address of the collector")]
    port: Annotated[int, Field(ge=1, le=65_535, strict=True)] = 6514
    tls: Annotated[SyslogTls | None, Field(description="`{}` is TLS with the system's authorities")] = None
    plain: Annotated[bool, Field(description="Allow TCP without TLS to another machine: records cross it readable")] = (
        False
    )
    framing: Annotated[
        Literal["octets", "lines"], Field(description="RFC 6587: each message after its length, or ended by a newline")
    ] = "octets"
    facility: Annotated[str, Field(json_schema_extra={"enum": list(FACILITIES)})] = "audit"
    hostname: Annotated[
        _Visible | None,
        Field(description="HOSTNAME of each message; the writer's instance if left out"),
    ] = None
    max_bytes: Annotated[
        int,
        Field(
            ge=2_048,
            le=16 * MIB,
            strict=True,
            description="Of a message. A longer record loses its least important members, and says so. No more than the"
            " collector takes: rsyslog cuts at 8 KiB unless its `maxMessageSize` says otherwise",
        ),
    ] = 8_192
    connect_timeout: Annotated[float, Field(gt=0, le=60, description="Seconds, with the handshake of TLS")] = 10.0
    timeout: Annotated[float, Field(gt=0, le=600, description="Seconds for the collector's kernel to take a batch")] = (
        30.0
    )
    resend_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=3_600,
            description="How long a collector may take to have on disk what it has received. What it received later than"
            " this before the connection was lost comes again, and the last batch always. 0: nothing comes again",
        ),
    ] = 5.0
    resend_bytes: Annotated[
        int, Field(ge=0, le=256 * MIB, strict=True, description="At most so much is kept for that")
    ] = 8 * MIB

    @model_validator(mode="after")
    def _makes_sense(self) -> SyslogSettings:
        if self.facility not in FACILITIES:
            raise ValueError(f"`facility` is one of {', '.join(FACILITIES)}")
        if self.tls is not None and self.framing != "octets":
            raise ValueError("RFC 5425 has `framing: octets` only")
        if self.tls is None and not self.plain and not is_loopback(self.host):
            raise ValueError("TCP without TLS to another machine: records would cross it readable. Say `plain: true`")
        return self


def _checked(value: str, example: str, instead: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"expected {example}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError(f"expected {example}, with its path")
    if "@" in parts.netloc:
        raise ValueError(f"no credentials in a URL, which is shown and logged: use {instead}")
    if parts.fragment or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"expected {example}, without a fragment or spaces")
    return parts


def _endpoint(value: str, example: str = "https://host/v1/logs") -> str:
    if not _checked(value, example, "`headers`").path.strip("/"):
        raise ValueError(f"expected {example}, with its path")
    return value


def _base(value: str) -> str:
    parts = _checked(value, "https://cloud.langfuse.com", "`public_key` and `secret_key`")
    if parts.query or "/api/public" in parts.path:
        raise ValueError("expected https://cloud.langfuse.com: where Langfuse is, without the path of its API")
    return value.rstrip("/")


def _fields(value: dict[str, Secret]) -> dict[str, Secret]:
    for name in value:
        if not _FIELD.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not the name of a header field")
        if name.lower() in _OWN_FIELDS:
            raise ValueError(f"{name.lower()} is set by the sink itself")
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("a header field stands there twice")
    return value


_Headers: TypeAlias = Annotated[
    dict[str, Secret],
    AfterValidator(_fields),
    Field(description="Header fields that are added, as `authorization`: where their values are read from"),
]
_Resource: TypeAlias = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=256)], Annotated[str, Field(max_length=4_096)]],
    Field(max_length=64, description="Resource attributes besides `service.*`, as `deployment.environment.name`"),
]
_Plain: TypeAlias = Annotated[bool, Field(description="Allow http:// to another machine: records cross it readable")]
_RequestBytes: TypeAlias = Annotated[
    int, Field(ge=16_384, le=64 * MIB, strict=True, description="Of a request, before it is compressed")
]
_Timeout: TypeAlias = Annotated[float, Field(gt=0, le=600, description="Seconds for one request and its answer")]


def _bounded(resource: dict[str, str]) -> None:
    if sum(len(name.encode()) + len(text.encode()) + 16 for name, text in resource.items()) > _RESOURCE_BYTES:
        raise ValueError(f"`resource` is more than {_RESOURCE_BYTES} bytes: it goes with every request")


def _guarded(url: str, *, plain: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not plain and not is_loopback(parts.hostname or ""):
        raise ValueError("http:// to another machine: records would cross it readable. Say `plain: true`")


class _ReceiverSettings(SinkSettings):
    """Base of receivers that speak OTLP over HTTP, in protobuf."""

    url: str
    headers: _Headers = Field(default_factory=dict)
    resource: _Resource = Field(default_factory=dict)
    tls: WebhookTls = WebhookTls()
    plain: _Plain = False
    compression: Literal["gzip", "none"] = "gzip"
    max_bytes: _RequestBytes = 4 * MIB
    timeout: _Timeout = 10.0

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _bounded(self.resource)
        _guarded(self.url, plain=self.plain)
        return self


class OtlpSettings(_ReceiverSettings):
    """A receiver of OpenTelemetry logs: OTLP over HTTP, in protobuf."""

    kind: Literal["otlp"]
    url: Annotated[
        str, AfterValidator(_endpoint), Field(description="The whole of it, as https://collector:4318/v1/logs")
    ]


class ExchangeSinkSettings(SinkSettings):
    """Base of sinks that tell of exchanges: they need both halves of each."""

    @model_validator(mode="after")
    def _has_both_halves(self) -> ExchangeSinkSettings:
        if "*" not in self.match.events:
            raise ValueError("it tells of exchanges, and needs all of their records: `match` may have `tenants` alone")
        if self.redact is not None and "exchange_id" in self.redact.drop:
            raise ValueError("the halves of an exchange find each other by `exchange_id`: it cannot be dropped")
        return self


def _traces_endpoint(value: str) -> str:
    return _endpoint(value, "https://host/v1/traces")


class TracesSettings(_ReceiverSettings, ExchangeSinkSettings):
    """A receiver of OpenTelemetry traces: OTLP over HTTP, in protobuf."""

    kind: Literal["traces"]
    url: Annotated[
        str, AfterValidator(_traces_endpoint), Field(description="The whole of it, as https://collector:4318/v1/traces")
    ]


def _metrics_endpoint(value: str) -> str:
    return _endpoint(value, "https://host/v1/metrics")


class MetricsSettings(_ReceiverSettings):
    """A receiver of OpenTelemetry metrics: OTLP over HTTP, in protobuf."""

    kind: Literal["metrics"]
    url: Annotated[
        str,
        AfterValidator(_metrics_endpoint),
        Field(description="The whole of it, as https://collector:4318/v1/metrics"),
    ]
    match: Match = Match(events=(Name.CLOSED.value,))
    models: Annotated[
        int, Field(ge=0, le=10_000, strict=True, description="Models that are named, once one answered; others: `_OTHER`")
    ] = 100
    tenants: Annotated[
        int,
        Field(
            ge=0, le=10_000, strict=True, description="Tenants that are named, the first; others: `_OTHER`. 0: none is"
        ),
    ] = 0
    series: Annotated[
        int,
        Field(ge=10, le=100_000, strict=True, description="Of one metric; what is more is told in one more, as overflow"),
    ] = 2_000

    @model_validator(mode="after")
    def _sees_closings(self) -> Self:
        if not any(fnmatchcase(Name.CLOSED, glob) for glob in self.match.events):
            raise ValueError(f"it counts what has ended: `match.events` lets no {Name.CLOSED.value} through")
        return self


def _environment(value: str) -> str:
    if value.startswith("langfuse"):
        raise ValueError("Langfuse keeps names that begin with `langfuse` for itself")
    return value


class LangfuseSettings(ExchangeSinkSettings):
    """A project in Langfuse."""

    kind: Literal["langfuse"]
    url: Annotated[str, AfterValidator(_base), Field(description="Where Langfuse is, as https://cloud.langfuse.com")] = (
        "https://cloud.langfuse.com"
    )
    public_key: Annotated[Secret, Field(description="Of the project: where it is read from")]
    secret_key: Annotated[Secret, Field(description="Of the project: where it is read from")]
    environment: Annotated[
        str,
        AfterValidator(_environment),
        Field(pattern=r"^[a-z0-9_-]{1,40}$", description="As Langfuse has it: lower-case letters, digits, - and _"),
    ] = "default"
    release: Annotated[
        str, Field(max_length=200, description="What is running, as a commit; the version of Sluicegate if left out")
    ] = ""
    tls: WebhookTls = WebhookTls()
    plain: _Plain = False
    compression: Literal["gzip", "none"] = "gzip"
    max_bytes: _RequestBytes = 4 * MIB
    timeout: _Timeout = 10.0

    @model_validator(mode="after")
    def _makes_sense(self) -> LangfuseSettings:
        _guarded(self.url, plain=self.plain)
        return self
