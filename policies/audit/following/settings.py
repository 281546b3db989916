"""Settings that every sink has, and those of the sinks that are here. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from extproc.policy import PolicySettings
from extproc.secret import Secret
from policies.audit.redaction import RedactionSettings

_MIB: Final = 1 << 20
_HEADER: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"
_OWN_HEADERS: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"}
    | {"x-sluicegate-id", "x-sluicegate-signature"}
)


class _Section(PolicySettings):
    # What was found in the place of something else may be a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _glob(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("expected a glob of printable characters, without outer spaces")
    return value


Glob = Annotated[str, Field(max_length=256), AfterValidator(_glob)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1, max_length=1_000)]


class Match(_Section):
    """Which records a sink is brought: those that match one of `events` and one of `tenants`."""

    events: Annotated[Globs, Field(description="Globs of event names, as `request.*`")] = ("*",)
    tenants: Annotated[
        Globs, Field(description='Globs of tenants. Records of no tenant match "*" and the empty glob alone')
    ] = ("*",)


class Batch(_Section):
    """How much is brought at once, at most. A record that is larger than `bytes` goes alone."""

    records: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 500
    bytes: Annotated[int, Field(ge=1_024, le=64 * _MIB, strict=True)] = _MIB


class Retry(_Section):
    """What is done when a sink does not take a batch. Times are in seconds."""

    first: Annotated[float, Field(gt=0, le=60, description="The longest pause after the first failure")] = 0.5
    most: Annotated[float, Field(gt=0, le=3_600, description="The longest pause after any failure")] = 30.0
    failures: Annotated[
        int, Field(ge=1, le=1_000, strict=True, description="So many in a row open the circuit breaker")
    ] = 5
    pause: Annotated[
        float, Field(ge=0, le=3_600, description="How long the circuit breaker leaves the sink alone before it probes")
    ] = 10.0
    retry_after: Annotated[float, Field(ge=0, le=86_400, description="How long a receiver may ask to be left alone")] = (
        300.0
    )
    timeout: Annotated[
        float, Field(gt=0, le=3_600, description="After which a delivery is given up, whatever the sink does")
    ] = 300.0


class SinkSettings(_Section):
    """Base of every sink's settings. A subclass adds `kind`, a literal by which it is told from the others."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
            description="Its checkpoint and its dead letters are kept under this name: under another it begins anew",
        ),
    ]
    match: Match = Match()
    batch: Batch = Batch()
    retry: Retry = Retry()
    redact: Annotated[
        RedactionSettings | None,
        Field(description="What is taken out for this sink, besides what is not in the journal. Its copies are no chain"),
    ] = None
    dead_letters: Annotated[
        int,
        Field(ge=65_536, le=1 << 40, strict=True, description="Bytes of dead letters. When they are full, it stops"),
    ] = 64 * _MIB


class FileSinkSettings(SinkSettings):
    """A file of JSON lines, or standard output."""

    kind: Literal["file"]
    path: Annotated[str, Field(min_length=1, description='Path of the file; "-" is standard output')]
    rotate_bytes: Annotated[
        int,
        Field(ge=0, strict=True, description="It is renamed by the time when it would grow beyond this; 0: never"),
    ] = 64 * _MIB
    keep: Annotated[
        int, Field(ge=0, le=100_000, strict=True, description="Rotated files that are kept; 0: all of them")
    ] = 0


class WebhookTls(_Section):
    """PEM files: whom to trust (the system's authorities if left out), and what to show."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _both(self) -> WebhookTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` belong together")
        return self


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _web_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("expected https://host/path") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or not value.isascii():
        raise ValueError("expected https://host/path")
    if "@" in parts.netloc:
        raise ValueError("no credentials in a URL, which is shown and logged: use `headers`")
    if parts.fragment or not value.isprintable() or " " in value:
        raise ValueError("expected https://host/path, without a fragment or spaces")
    return value


def _header_names(value: dict[str, Secret]) -> dict[str, Secret]:
    for name in value:
        if not re.fullmatch(_HEADER, name):
            raise ValueError(f"{name[:40]!r} is not the name of a header field")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name.lower()} is set by the sink itself")
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("a header field stands there twice")
    return value


class WebhookSettings(SinkSettings):
    """A URL to which records are posted."""

    kind: Literal["webhook"]
    url: Annotated[str, AfterValidator(_web_url)]
    format: Annotated[Literal["json", "ndjson"], Field(description="A JSON array, or a line of JSON for each record")] = (
        "json"
    )
    secret: Annotated[Secret | None, Field(description="Signs each request: `x-sluicegate-signature`")] = None
    headers: Annotated[
        dict[str, Secret],
        AfterValidator(_header_names),
        Field(description="Header fields that are added, as `authorization`: where their values are read from"),
    ] = Field(default_factory=dict)
    tls: WebhookTls = WebhookTls()
    plain: Annotated[bool, Field(description="Allow http:// to another machine: records cross the network readable")] = (
        False
    )
    timeout: Annotated[float, Field(gt=0, le=600, description="Seconds for one request and its answer")] = 10.0
    retried: Annotated[
        frozenset[Annotated[int, Field(ge=400, le=499)]],
        Field(
            description="Statuses besides 5xx and 3xx after which the same records are sent again: they are about the"
            " receiver. Any other 4xx refuses a record for good"
        ),
    ] = frozenset({401, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429})

    @model_validator(mode="after")
    def _is_guarded(self) -> WebhookSettings:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.plain and not is_loopback(parts.hostname or ""):
            raise ValueError("http:// to another machine: records would cross the network readable. Say `plain: true`")
        return self


OwnSink = Annotated[FileSinkSettings | WebhookSettings, Field(discriminator="kind")]
"""The sinks of this package, told apart by `kind`."""
