"""Settings of the cost policy."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, model_validator

from extproc.metrics import LONGEST, NONE, OTHER
from extproc.policy import PolicySettings

_MOST_TAGS: Final = 8
Value = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"^[!-~]+$", description="visible ASCII")]


class TagSettings(PolicySettings):
    """A tag that clients put on a request, in a header field. Only values that are named here are told apart."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]{0,62}$",
            json_schema_extra={"x-expected": "1 to 63 lower-case letters, digits and _, a letter first"},
        ),
    ]
    header: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
            json_schema_extra={"x-expected": "the name of a header field, in lower case"},
        ),
    ]
    values: Annotated[tuple[Value, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _values_differ(self) -> TagSettings:
        if len(set(self.values)) < len(self.values):
            raise ValueError("`values`: one of them stands twice")
        if taken := {OTHER, NONE} & set(self.values):
            raise ValueError(f"`values`: {min(taken)!r} has a meaning already")
        return self


class CostSettings(PolicySettings):
    """See `docs/reference/metrics.md`."""

    tenants: Annotated[
        int, Field(ge=0, le=1_000, strict=True, description="Tenants with series of their own: the heaviest")
    ] = 100
    pinned: Annotated[
        tuple[Value, ...],
        Field(max_length=1_000, description="Ids or names of tenants that have series of their own, whatever they use"),
    ] = ()
    tags: Annotated[tuple[TagSettings, ...], Field(max_length=_MOST_TAGS)] = ()

    @model_validator(mode="after")
    def _tags_differ(self) -> CostSettings:
        names = [tag.name for tag in self.tags]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tags have the name {twice[0]!r}")
        return self
