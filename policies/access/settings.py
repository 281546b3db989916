"""Settings of the access policy: what a permission allows, and which roles and groups hold it.

Everything here is granted; nothing is ever taken away. What no permission allows is denied.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from extproc.identity import CallerKind
from extproc.policy import PolicySettings
from policies.access.globs import check_name_glob, check_path_glob, is_plain_name

EVERY_PERMISSION: Final = "*"
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_PERMISSION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")

NameGlob = Annotated[str, AfterValidator(check_name_glob)]
PathGlob = Annotated[str, AfterValidator(check_path_glob)]
Scope = Annotated[
    str,
    Field(
        pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,256}$", description="a scope token of RFC 6749: printable ASCII, no spaces"
    ),
]
ModelOperation = Literal["chat", "completions", "responses", "embeddings", "messages", "count_tokens", "models"]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _shown_name(value: str) -> str:
    if not is_plain_name(value) or value != value.strip():
        raise ValueError("expected a name of 1 to 256 printable characters, without outer spaces")
    return value


def _group_id(value: str) -> str:
    # Entra writes object ids in lower case; portals and people do not always.
    return value.lower() if _GUID.fullmatch(value) else _shown_name(value)


def _permission_name(value: str) -> str:
    if not _PERMISSION.fullmatch(value):
        raise ValueError("expected a name of up to 64 letters, digits and _ . : -, beginning with a letter")
    return value


PermissionName = Annotated[str, AfterValidator(_permission_name)]
RoleName = Annotated[str, AfterValidator(_shown_name)]
GroupId = Annotated[str, AfterValidator(_group_id)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RouteRule(_Section):
    """An agent or opaque route, whole or only some methods and paths of it. A bare name means all of it.

    Paths of an agent begin after `/agents/{name}`; those of an opaque route are whole, as clients send them.
    """

    name: NameGlob
    methods: Annotated[tuple[Method, ...] | None, Field(min_length=1)] = None
    paths: Annotated[tuple[PathGlob, ...] | None, Field(min_length=1)] = None


def _spell_out_rules(value: Any) -> Any:
    return [{"name": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value


def _spell_out_assignment(value: Any) -> Any:
    return {"permissions": value} if isinstance(value, list) else value


Rules = Annotated[
    tuple[RouteRule, ...], BeforeValidator(_spell_out_rules, json_schema_input_type=tuple[RouteRule | str, ...])
]


class Permission(_Section):
    """What one permission allows. Empty, it is only a name.

    A call to a model passes if one permission allows all of it: operation, model, upstream, tools and output ceiling.
    """

    operations: tuple[ModelOperation, ...] = ()
    models: Annotated[tuple[NameGlob, ...], Field(description="Exact names or globs, as clients name the models")] = ()
    upstreams: Annotated[
        tuple[NameGlob, ...] | None, Field(min_length=1, description="Only these; every upstream if left out")
    ] = None
    max_output_tokens: Annotated[int, Field(ge=1, description="For one answer; none if left out")] | None = None
    hosted_tools: Annotated[
        tuple[NameGlob, ...], Field(description="Tools that the provider runs itself: web_search, mcp, ...")
    ] = ()
    agents: Rules = ()
    opaque: Rules = ()

    @model_validator(mode="after")
    def _says_something_whole(self) -> Permission:
        calls = set(self.operations) - {"models"}
        if calls and not self.models:
            raise ValueError("`operations` without `models` allows no call: name the models, or `*` for all")
        if self.models and not calls:
            raise ValueError("`models` without `operations` allows no call: name the operations")
        for name in ("max_output_tokens", "hosted_tools"):
            if getattr(self, name) and not self.models:
                raise ValueError(f"`{name}` is about calls to models, and this permission allows none")
        if self.upstreams is not None and not (self.models or self.opaque):
            raise ValueError("`upstreams` restricts models and opaque routes, and this permission allows none")
        return self


class Assignment(_Section):
    """The permissions of a role or group; `*` is every permission. A bare list means just these, for all callers."""

    model_config = ConfigDict(json_schema_extra={"x-expected": "a list of permissions"})

    permissions: tuple[str, ...]
    callers: Annotated[
        frozenset[CallerKind],
        Field(min_length=1, description="Entra puts roles of people and of applications into the same claim"),
    ] = frozenset(CallerKind)


Assigned = Annotated[
    Assignment, BeforeValidator(_spell_out_assignment, json_schema_input_type=Assignment | tuple[str, ...])
]


def _one_spelling_each(value: Any) -> Any:
    names = [name.lower() for name in value if isinstance(name, str)] if isinstance(value, dict) else []
    if len(set(names)) < len(names):
        raise ValueError("one group stands here twice, in upper and in lower case")
    return value


class AccessSettings(PolicySettings):
    """Roles and groups to permissions. Default deny: left empty, nobody may do anything."""

    permissions: dict[PermissionName, Permission] = Field(default_factory=dict)
    roles: dict[RoleName, Assigned] = Field(default_factory=dict)
    groups: Annotated[
        dict[GroupId, Assigned], BeforeValidator(_one_spelling_each, json_schema_input_type=dict[str, Assigned])
    ] = Field(default_factory=dict)
    scopes: Annotated[
        tuple[Scope, ...], Field(description="A person's application needs one of these delegated permissions as well")
    ] = ()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
