"""Settings of the ledger. Pure."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from extproc.secret import Secret, SecretError, read_secret
from policies.audit.following.settings import Batch, SinkSettings

EXPECTED: Final = "sqlite:///PATH, or postgresql://USER@HOST:PORT/DATABASE"
_SCHEMES: Final = ("sqlite", "postgresql")


class LedgerUrlError(ValueError):
    """The URL cannot be used. The message does not hold it: it may have a password."""


def checked(url: str) -> str:
    """The URL of a database of a kind that is known here.

    Raises:
        LedgerUrlError: it is none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise LedgerUrlError(f"expected {EXPECTED}") from None
    if parts.scheme not in _SCHEMES or len(parts.path) < 2:
        raise LedgerUrlError(f"expected {EXPECTED}")
    if parts.scheme == "sqlite" and (parts.netloc or parts.query or parts.path[1:] == ":memory:"):
        raise LedgerUrlError("expected sqlite:///PATH: a file, and nothing else")
    return url


def _open(url: str | Secret) -> str | Secret:
    if isinstance(url, str):
        checked(url)
        if urlsplit(url).password is not None or "password" in urlsplit(url).query:
            raise ValueError("a URL with a password is a secret: give it by {env: NAME} or {file: PATH}")
    return url


class LedgerSettings(SinkSettings):
    """Where the ledger is. SQLite for one machine; PostgreSQL where several write or many read."""

    kind: Literal["ledger"]
    name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Its checkpoint is kept under this name"),
    ] = "ledger"
    batch: Batch = Batch(records=1_000, bytes=4 << 20)
    url: Annotated[
        str | Secret,
        AfterValidator(_open),
        Field(description=f"{EXPECTED}; {{env: NAME}} or {{file: PATH}} of one that has a password"),
    ]
    pool: Annotated[int, Field(ge=1, le=100, strict=True, description="The most connections to PostgreSQL")] = 2
    connect_timeout: Annotated[int, Field(ge=1, le=60, strict=True, description="Seconds")] = 5
    timeout: Annotated[float, Field(ge=0.1, le=3_600, description="Seconds for one statement, or to wait for a lock")] = (
        30.0
    )

    def read_url(self) -> str:
        """The URL, with its password where it has one.

        Raises:
            LedgerUrlError: the secret is not there, or no URL of a database.
        """
        if isinstance(self.url, str):
            return self.url
        try:
            return checked(read_secret(self.url))
        except SecretError as error:
            raise LedgerUrlError(str(error)) from None
