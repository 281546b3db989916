"""Settings of the connection to Redis. Pure."""

from __future__ import annotations

import ssl
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from extproc.secret import Secret

_DEFAULT_PORT: Final = 6379


class Mode(StrEnum):
    """What kind of Redis it is."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


def _redis_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("no credentials in a URL, which is shown and logged: use `username` and `password`")
    if parts.query or parts.fragment:
        raise ValueError("no options in the URL: they have settings of their own")
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return value
    if parts.scheme in ("redis", "rediss") and parts.hostname and port != -1 and parts.path in ("", "/"):
        return value
    raise ValueError("expected redis://host:port, rediss://host:port (TLS) or unix:///path")


def _host_and_port(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError("expected host:port")
    return value


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]


class _Section(BaseModel):
    # What was found in the place of something else may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RedisTls(_Section):
    """PEM files: whom to trust (the system's authorities if left out), and what to show."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _both(self) -> RedisTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` belong together")
        return self


class RedisSettings(_Section):
    """Where the counters are. They must not be evicted: `maxmemory-policy noeviction`."""

    url: Annotated[
        str | None,
        AfterValidator(lambda value: value if value is None else _redis_url(value)),
        Field(description="redis://host:port, rediss://host:port (TLS) or unix:///path"),
    ] = None
    mode: Mode = Mode.SINGLE
    sentinels: Annotated[tuple[HostAndPort, ...], Field(description="With `mode: sentinel`")] = ()
    master_name: Annotated[str | None, Field(description="With `mode: sentinel`")] = None
    nodes: Annotated[tuple[HostAndPort, ...], Field(description="With `mode: cluster`: some of them")] = ()
    username: str | None = None
    password: Secret | None = None
    database: Annotated[int, Field(ge=0, le=1_000, strict=True)] = 0
    tls: RedisTls | None = None
    timeout: Annotated[float, Field(ge=0.001, le=10, description="Seconds for a decision to be answered")] = 0.05
    connect_timeout: Annotated[float, Field(ge=0.01, le=60, description="Seconds")] = 1.0
    queue: Annotated[int, Field(ge=1, le=1_000_000, strict=True, description="Calls that may be unanswered")] = 10_000

    @model_validator(mode="after")
    def _fits_its_mode(self) -> RedisSettings:
        if self.mode is Mode.SINGLE and (self.url is None or self.sentinels or self.nodes):
            raise ValueError("`mode: single` needs `url`, and neither `sentinels` nor `nodes`")
        if self.mode is Mode.SENTINEL and not (self.sentinels and self.master_name and self.url is None):
            raise ValueError("`mode: sentinel` needs `sentinels` and `master_name`, and no `url`")
        if self.mode is Mode.CLUSTER and not (self.nodes and self.url is None):
            raise ValueError("`mode: cluster` needs `nodes`, and no `url`")
        if self.mode is Mode.CLUSTER and self.database:
            raise ValueError("a cluster has no `database` but 0")
        if self.username is not None and self.password is None:
            raise ValueError("`username` needs `password`")
        if self.tls is not None and self.url is not None and not self.url.startswith("rediss:"):
            raise ValueError("`tls` belongs to rediss://host:port")
        return self

    def addresses(self) -> tuple[str | tuple[str, int], ...]:
        """Where servers are: the path of a unix socket, or hosts and ports."""
        if self.url is None:
            return tuple(_split(node) for node in self.nodes)
        parts = urlsplit(self.url)
        return (parts.path,) if parts.scheme == "unix" else ((parts.hostname or "", parts.port or _DEFAULT_PORT),)

    def sentinel_addresses(self) -> tuple[tuple[str, int], ...]:
        return tuple(_split(sentinel) for sentinel in self.sentinels)

    def tls_context(self) -> ssl.SSLContext | None:
        """How to speak TLS; None for a plain connection.

        Raises:
            ValueError: a file cannot be used.
        """
        if self.tls is None and not (self.url or "").startswith("rediss:"):
            return None
        files = self.tls or RedisTls()
        try:
            context = ssl.create_default_context(cafile=files.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if files.certificate is not None:
                context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            raise ValueError(f"redis.tls: a file cannot be used: {error.strerror or type(error).__name__}") from None
        return context


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
