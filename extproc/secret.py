"""Secrets in the configuration: a reference to where each one is, and how it is read from there."""

from __future__ import annotations

import os
import stat
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MAX_BYTES: Final = 65_536


class SecretError(Exception):
    """The secret is not there. Names the place, never the content."""


class Secret(BaseModel):
    """Where a secret is read from, never the secret itself. Exactly one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"x-expected": "{env: NAME} or {file: PATH}, never the secret itself"},
    )

    env: (
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of an environment variable")]
        | None
    ) = None
    file: Annotated[str, Field(min_length=1, description="the path of a file")] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("expected exactly one of `env` and `file`")
        return self


def read_secret(secret: Secret) -> str:
    """The secret, read anew each time: files are replaced when secrets are rotated.

    Raises:
        SecretError: missing, unreadable or empty.
    """
    if secret.env is not None:
        value = os.environ.get(secret.env, "")
        place = f"environment variable {secret.env}"
    else:
        place = f"file {secret.file}"
        try:
            value = _read(secret.file or "", place)
        except (OSError, ValueError) as error:
            raise SecretError(f"{place}: {type(error).__name__}") from None
    value = value.strip()
    if not value:
        raise SecretError(f"{place} is empty or missing")
    return value


def _read(path: str, place: str) -> str:
    """The text of a regular file. Secrets are read on the event loop: a pipe would stop it, and a device fill memory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SecretError(f"{place} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MAX_BYTES:
        raise SecretError(f"{place} is larger than {_MAX_BYTES} bytes")
    return data.decode("utf-8")
