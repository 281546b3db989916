"""Settings of a journal, and the error that says that it cannot be written."""

from __future__ import annotations

import os
import re
from typing import Annotated, Final, Literal

from pydantic import Field

from extproc.policy import PolicySettings
from extproc.secret import Secret

_MEBIBYTE: Final = 1 << 20


class JournalError(Exception):
    """The journal cannot be written. The message says why, and holds no secret."""


def _hostname() -> str:
    # Whatever a host is called, its name makes one folder.
    return re.sub(r"[^A-Za-z0-9_.-]", "_", os.uname().nodename).strip(".")[:64] or "gateway"


class JournalSettings(PolicySettings):
    """Where the journal is, and what it promises."""

    folder: Annotated[str, Field(min_length=1, description="Holds one folder for each process that writes")]
    instance: Annotated[
        str,
        Field(
            default_factory=_hostname,
            pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$",
            description="The host's name if left out. Processes of one instance take one slot each",
        ),
    ]
    durability: Annotated[
        Literal["batch", "strict"],
        Field(description="`batch`: what is written survives the process, and soon the machine; `strict`: both at once"),
    ] = "batch"
    full: Annotated[
        Literal["closed", "open"],
        Field(description="What happens when it cannot be written: nothing is taken, or records are dropped and counted"),
    ] = "closed"
    queue_bytes: Annotated[
        int, Field(ge=1_024, le=4_096 * _MEBIBYTE, strict=True, description="What may wait to be written")
    ] = 64 * _MEBIBYTE
    segment_bytes: Annotated[
        int, Field(ge=1_024, le=4_096 * _MEBIBYTE, strict=True, description="After which a segment ends")
    ] = 64 * _MEBIBYTE
    segment_age: Annotated[float, Field(gt=0, le=31 * 86_400, description="Seconds after which a segment ends")] = 3_600
    flush_ms: Annotated[float, Field(ge=0, le=1_000, description="Milliseconds between writes, at least")] = 5
    sync_ms: Annotated[
        float, Field(ge=0, le=60_000, description="Milliseconds between syncs, at least, with `durability: batch`")
    ] = 50
    strict_timeout: Annotated[
        float, Field(gt=0, le=60, description="Seconds for which an exchange waits for the disk, at most")
    ] = 1.0
    signing_key: Annotated[
        Secret | None, Field(description="An Ed25519 private key (PEM, PKCS 8) that signs heads and seals")
    ] = None
