"""What is changed on the way up: headers taken away and set, members of the body set. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from extproc.call import Call, Operation, OutputCeiling, output_field
from extproc.catalogue import Model, Target
from extproc.exchange import Headers
from extproc.identity import Identity
from extproc.settings import IdentityHeaders

UPSTREAM_HEADER: Final = "x-sluicegate-upstream"
"""Envoy's route is chosen by it. Set with the verdict, removed by the route before anything goes up."""
STREAM_HEADER: Final = "x-sluicegate-stream"

CREDENTIALS: Final = frozenset(
    {
        "authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "proxy-authorization",
        "cookie",
    }
)
_INTERNAL_PREFIXES: Final = (
    "x-sluicegate-",
    "x-ai-eg-",
    "x-aigw-",
    "x-envoy-",
    "x-ms-client-principal",
    "x-auth-request-",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-remote-",
    "remote-user",
    "x-webauth-",
    "x-consumer-",
    "x-amzn-oidc-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "cf-access-",
)
"""What infrastructure says about a caller: from a client it is a lie."""
_OVERRIDES: Final = frozenset(
    {
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
    }
)
"""Fields by which frameworks let a client replace the method or the path: those that were judged are those that count."""
_PROVIDER_ONLY: Final = frozenset({"accept-encoding", "openai-organization", "openai-project", "forwarded"})
"""Not for an LLM provider: an encoding would hide the usage from the meter, and an organisation would choose who pays."""

_TELL_WHEN_ASKED: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS})
"""Operations whose streams end with their usage only if the client asks for it."""
_REMEMBERED_NAMES: Final = 40


def removed_headers(
    headers: Headers, identity_headers: IdentityHeaders, *, to_provider: bool, forward_token: bool
) -> tuple[str, ...]:
    """The names of the client's fields that must not go up, of those that are there."""
    names = headers.names()
    find = _remembered if len(names) <= _REMEMBERED_NAMES else _removed
    return find(names, identity_headers.names(), to_provider, forward_token)


def _removed(names: tuple[str, ...], told: tuple[str, ...], to_provider: bool, forward_token: bool) -> tuple[str, ...]:
    removed = [
        name
        for name in names
        if name in told or (_is_removed(name, to_provider) and not (forward_token and name == "authorization"))
    ]
    return tuple(sorted(removed))


# A client sends the same names each time: saves 2 us. One that sends hundreds is not worth the memory.
_remembered: Final = lru_cache(256)(_removed)


def _is_removed(name: str, to_provider: bool) -> bool:
    return (
        name in CREDENTIALS
        or name in _OVERRIDES
        or name.startswith(_INTERNAL_PREFIXES)
        or (to_provider and name in _PROVIDER_ONLY)
    )


def identity_fields(identity: Identity, names: IdentityHeaders) -> Iterable[tuple[str, str]]:
    """Who calls, for an upstream that is told. Values are percent-encoded where they are not plain ASCII.

    Roles are separated by commas; a comma in the name of one is encoded, so that it does not read as two.
    """
    values = (
        (names.tenant, _plain(identity.tenant)),
        (names.user, _plain(identity.user)),
        (names.roles, ",".join(_plain(role) for role in sorted(identity.roles) if role)),
        (names.app, _plain(identity.app)),
        (names.department, _plain(identity.department)),
    )
    return ((name, value) for name, value in values if value)


def _plain(value: str) -> str:
    return quote(value, safe=" !#$&'()*+-./:;=?@[]^_`{|}~")


def hides_usage(call: Call) -> bool:
    """Whether the gateway asks for a usage chunk that the client did not ask for, and must take it out again."""
    return call.stream and not call.wants_usage and call.operation in _TELL_WHEN_ASKED


def member_changes(
    call: Call, members: dict[str, Any], target: Target, ceiling: OutputCeiling | None, model: Model | None = None
) -> dict[str, Any]:
    """The members of the body to be set before it goes up; empty if the client's own bytes can go.

    `model`: the entry that serves the call; it says in which member a ceiling is written.
    """
    changes: dict[str, Any] = {}
    if target.model is not None:
        # Where the path names the deployment, a body without a model is complete.
        unnamed = "model" not in members
        if members.get("model") != target.model and not (unnamed and "/deployments/" in target.path):
            changes["model"] = target.model
    if hides_usage(call):
        changes["stream_options"] = {**(members.get("stream_options") or {}), "include_usage": True}
    if ceiling is not None and call.max_output is None and (field := output_field(call.operation, model)) is not None:
        changes[field] = ceiling.tokens
    return changes
