"""Settings of redaction: what is looked for, what is left out, whose users get pseudonyms. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from pydantic import AfterValidator, Field, model_validator

from extproc.policy import PolicySettings
from extproc.secret import Secret
from policies.audit.record import Record
from policies.audit.redaction.kinds import Kind
from policies.audit.redaction.patterns import check_pattern

LONGEST: Final = 1 << 20
"""Characters of a string that is looked at, unless configured."""
DROPPABLE: Final = {
    field.encode_name: field.name
    for field in msgspec.structs.fields(Record)
    if not field.required and field.name != "redacted"
}
"""The members of a record that can be left out, by the names that they have in JSON."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


def _pattern_name(value: str) -> str:
    if not _NAME.fullmatch(value) or value in set(Kind) or value == "user":
        raise ValueError("expected a name of lower case letters, digits and _, which is none of the classes")
    return value


def _member(value: str) -> str:
    if value not in DROPPABLE:
        raise ValueError("expected a member of a record that it can be without, such as params or user_id")
    return value


def _glob(value: str) -> str:
    if not value or value != value.strip() or len(value) > 256:
        raise ValueError("expected a tenant or a glob of 1 to 256 characters, without outer spaces")
    return value


class RedactionSettings(PolicySettings):
    """What is taken out of records, before the journal or before one sink."""

    classes: Annotated[tuple[Kind, ...], Field(description="What is looked for")] = tuple(Kind)
    patterns: Annotated[
        dict[Annotated[str, AfterValidator(_pattern_name)], Annotated[str, AfterValidator(check_pattern)]],
        Field(
            max_length=32,
            description="Own regular expressions by name, with an upper bound on every repetition; a match becomes"
            " [name:hash]",
        ),
    ] = Field(default_factory=dict)
    pseudonymise: Annotated[
        tuple[Annotated[str, AfterValidator(_glob)], ...],
        Field(description="Tenants (exact or globs) whose users stand in records under pseudonyms"),
    ] = ()
    drop: Annotated[
        tuple[Annotated[str, AfterValidator(_member)], ...],
        Field(description="Members that records are without: params, user_id, url.path, ..."),
    ] = ()
    key: Annotated[
        Secret | None,
        Field(description="For the keyed hashes (HMAC-SHA-256), 32 random bytes or more as text; needed for pseudonyms"),
    ] = None
    longest: Annotated[
        int, Field(ge=256, le=1 << 24, description="Characters; a longer string is not looked at, and replaced whole")
    ] = LONGEST

    @model_validator(mode="after")
    def _pseudonyms_need_a_key(self) -> RedactionSettings:
        if self.pseudonymise and self.key is None:
            raise ValueError("`pseudonymise` needs a `key`: without one, pseudonyms could be undone by trying users")
        return self
