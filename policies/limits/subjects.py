"""Whom a limit is about: a tenant, a user, an application, a model, …, or a pair of them. Pure.

A subject always belongs to a tenant, whose name is the hash tag of its key in Redis: all counters of a tenant live in one
slot of a cluster, so that one script can charge them all or none. The one subject of no tenant is `everyone`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

import msgspec

EVERYONE: Final = "*"
"""In place of a tenant: what all tenants use together."""
_LONGEST: Final = 128
"""Characters of a value, after percent-encoding; a longer one is told apart by its hash."""
_PREFIX: Final = "sg"


class Level(StrEnum):
    """Of what kind a subject is."""

    EVERYONE = "everyone"
    TENANT = "tenant"
    DEPARTMENT = "department"
    USER = "user"
    APP = "app"
    MODEL = "model"
    AGENT = "agent"
    SESSION = "session"


class SubjectError(ValueError):
    """A subject that cannot be read. The message says what was expected."""


class Subject(msgspec.Struct, frozen=True):
    """Whom a limit is about.

    Attributes:
        tenant: the tenant it belongs to; `EVERYONE` for what all tenants use together.
        parts: what it is within the tenant: nothing for the tenant itself, one (level, value), or a pair, in the order of
            `Level`.
    """

    tenant: str
    parts: tuple[tuple[Level, str], ...] = ()

    def key(self) -> str:
        """The key of its counters in Redis."""
        return f"{_PREFIX}:{tag(self.tenant)}:s:{self.name()}"

    def name(self) -> str:
        """Its name within the tenant: `tenant`, `user=alice`, `user=alice,model=gpt-4o`."""
        if not self.parts:
            return Level.EVERYONE if self.tenant == EVERYONE else Level.TENANT
        return ",".join(f"{level}={_encoded(value)}" for level, value in self.parts)

    def __str__(self) -> str:
        """As the command line writes it, and reads it: `contoso`, `contoso/user=alice`, `everyone`."""
        tenant = Level.EVERYONE.value if self.tenant == EVERYONE else _encoded(self.tenant)
        return f"{tenant}/{self.name()}" if self.parts else tenant


def tag(tenant: str) -> str:
    """The hash tag of a tenant's keys. Braces in its name are encoded: they would end the tag early."""
    return f"{{{EVERYONE if tenant == EVERYONE else _encoded(tenant)}}}"


def parse(text: str) -> Subject:
    """The subject that `str(subject)` is written for.

    Raises:
        SubjectError: it is none.
    """
    head, _, rest = text.partition("/")
    if not head:
        raise SubjectError("expected a subject such as contoso, contoso/user=alice, contoso/user=alice,model=gpt-4o")
    tenant = EVERYONE if head == Level.EVERYONE else unquote(head)
    if not rest:
        return Subject(tenant)
    return Subject(tenant, tuple(_part(part) for part in rest.split(",")))


def _part(text: str) -> tuple[Level, str]:
    name, _, value = text.partition("=")
    try:
        level = Level(name)
    except ValueError:
        raise SubjectError(f"expected one of {', '.join(_WITHIN)}, not {name!r}") from None
    if level.value not in _WITHIN or not value:
        raise SubjectError(f"expected {name}=VALUE, with one of {', '.join(_WITHIN)}")
    return level, unquote(value)


_WITHIN: Final = tuple(level.value for level in Level if level not in (Level.EVERYONE, Level.TENANT))


def _encoded(value: str) -> str:
    """A value as part of a key: no separator of ours, no brace, bounded."""
    encoded = quote(value, safe="@:+!~ ", errors="backslashreplace")
    if len(encoded) <= _LONGEST:
        return encoded
    return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
