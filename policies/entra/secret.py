"""Reads a secret from where the configuration says it is. Edge: environment and files."""

from __future__ import annotations

import os
from pathlib import Path

from extproc.settings import Secret


class SecretError(Exception):
    """The secret is not there. Names the place, never the content."""


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
            value = Path(secret.file or "").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"{place}: {type(error).__name__}") from None
    value = value.strip()
    if not value:
        raise SecretError(f"{place} is empty or missing")
    return value
