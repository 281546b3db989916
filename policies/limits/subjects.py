"""Whom a limit is about: a tenant, a user, an application, a model, …, or a pair of them. Pure.

A subject always belongs to a tenant, whose name is the hash tag of its key in Redis: all counters of a tenant live in one
slot of a cluster, so that one script can charge them all or none. The one subject of no tenant is `everyone`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

EVERYONE: Final = "*"
"""In place of a tenant: what all tenants use together."""
_LONGEST: Final = 128
"""Characters of a value in a key, after percent-encoding; a longer one is told apart by its hash."""
_NONE: Final = "%"
"""An empty value. (Encoding writes a percent sign only before two digits.) Braces around nothing are no hash tag."""
_MOST_PARTS: Final = 2
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


class Subject(msgspec.Struct, frozen=True, gc=False):
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
        # Joined, not formatted: an enumeration of strings takes half a microsecond to be formatted.
        within = ",".join(["".join((level, "=", bounded(value))) for level, value in self.parts])
        return f"{_PREFIX}:{tag(self.tenant)}:s:{within or self.name()}"

    def name(self) -> str:
        """Its name within the tenant: `tenant`, `user=alice`, `user=alice,model=gpt-4o`."""
        if not self.parts:
            return Level.EVERYONE if self.tenant == EVERYONE else Level.TENANT
        return ",".join(f"{level}={_encoded(value)}" for level, value in self.parts)

    def __str__(self) -> str:
        """As the command line writes it, and reads it: `contoso`, `contoso/user=alice`, `everyone`."""
        tenant = _encoded(self.tenant)
        if self.tenant == EVERYONE:
            tenant = Level.EVERYONE.value
        elif tenant == Level.EVERYONE:
            # A tenant that is called so.
            tenant = f"%{ord(tenant[0]):02X}{tenant[1:]}"
        return f"{tenant}/{self.name()}" if self.parts else tenant


def key_form(tenant: str, parts: Iterable[tuple[Level, str]], left_open: Container[Level]) -> str:
    """The keys of subjects that differ in their values of some levels: `%s` for each of these, as `bounded` writes it."""
    within = [
        f"{level.value}={'%s' if level in left_open else bounded(value).replace('%', '%%')}" for level, value in parts
    ]
    return f"{_PREFIX}:{tag(tenant).replace('%', '%%')}:s:{','.join(within)}"


@lru_cache(4_096)
def tag(tenant: str) -> str:
    """The hash tag of a tenant's keys. Braces in its name are encoded: they would end the tag early."""
    return f"{{{EVERYONE if tenant == EVERYONE else bounded(tenant)}}}"


def parse(text: str) -> Subject:
    """The subject that `str(subject)` is written for.

    Raises:
        SubjectError: it is none.
    """
    head, slash, rest = text.partition("/")
    if not head or (slash and not rest):
        raise SubjectError("expected a subject such as contoso, contoso/user=alice, contoso/user=alice,model=gpt-4o")
    tenant = EVERYONE if head == Level.EVERYONE else _decoded(head)
    if not rest:
        return Subject(tenant)
    parts = sorted((_part(part) for part in rest.split(",")), key=lambda part: _WITHIN.index(part[0]))
    if len(parts) > _MOST_PARTS or len({level for level, _ in parts}) < len(parts):
        raise SubjectError("expected one level, or two different ones")
    return Subject(tenant, tuple(parts))


def _part(text: str) -> tuple[Level, str]:
    name, _, value = text.partition("=")
    if name not in _WITHIN:
        raise SubjectError(f"expected one of {', '.join(_WITHIN)}, not {name!r}")
    if not value:
        raise SubjectError(f"expected {name}=VALUE")
    return Level(name), _decoded(value)


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~@:+! -]+")
_WITHIN: Final = tuple(level.value for level in Level if level not in (Level.EVERYONE, Level.TENANT))


def _encoded(value: str) -> str:
    """A value without a separator of ours and without a brace; different ones for different values."""
    # Ids are plain, nearly always: saves 2 us.
    if _PLAIN.fullmatch(value):
        return value
    return quote(value, safe="@:+!~ ", errors="surrogatepass") or _NONE


def _decoded(text: str) -> str:
    if text == _NONE:
        return ""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        raise SubjectError(f"expected percent-encoded UTF-8, not {text!r}") from None


def bounded(value: str) -> str:
    """A value as part of a key: encoded, and of bounded length. No encoded value holds a `#`."""
    encoded = _encoded(value)
    return encoded if len(encoded) <= _LONGEST else f"#{hashlib.sha256(encoded.encode()).hexdigest()}"
