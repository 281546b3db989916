"""What a policy may answer. A closed union: the host matches it exhaustively, and legal outcomes differ by phase.

`Continue` and `Mutate` let the exchange go on; `Reject` and `Respond` are verdicts and end the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec


@dataclass(frozen=True, slots=True)
class Continue:
    """No objection. Use the constant `CONTINUE`."""


CONTINUE: Final = Continue()


class Mutate(msgspec.Struct, frozen=True):
    """No objection, and these changes. Later policies see them.

    On the request, `set_headers` replaces fields and `remove_headers` removes them on the way up; `members` sets members
    of the JSON body and leaves the bytes of all others alone; `body` replaces the body (the host keeps `content-length`
    right). On the response, `body` replaces the chunk.
    """

    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    members: tuple[tuple[str, object], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A refusal, rendered by the host in the caller's own dialect.

    Attributes:
        status: HTTP status, 400 to 599.
        code: stable, snake_case; clients may branch on it.
        message: for the caller; helps, and reveals nothing that the caller may not know.
        param: the offending member of the request, where there is one.
        retry_after: seconds; sets `retry-after` and `retry-after-ms`.
        headers: further response fields, for example `www-authenticate`.
        why: for the operator's record only; no token, no prompt.
        stop_retrying: sets `x-should-retry: false`, which OpenAI's and Anthropic's SDKs obey.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    why: str = ""
    stop_retrying: bool = False

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"a rejection has a status of 400 to 599, not {self.status}")


@dataclass(frozen=True, slots=True)
class Respond:
    """An answer from the gateway itself: the upstream is not asked."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = field(default=())


RequestOutcome: TypeAlias = Continue | Mutate | Reject | Respond
"""Legal while nothing has gone upstream."""

ResponseOutcome: TypeAlias = Continue | Mutate
"""Legal once the answer is on its way: bytes that have left cannot be refused."""
