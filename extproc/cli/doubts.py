"""What is allowed in a configuration and almost surely not meant. Pure; each is a line with its path."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from extproc.addresses import is_ip
from extproc.catalogue import Provider, Upstream
from extproc.cli.idle_contracts import idle_contracts
from extproc.identity import Identity
from extproc.settings import Settings, UpstreamEntry

_ACCESS: Final = "access"
_LIMITS: Final = "limits"
_TELLING: Final = ("cost", "audit")
"""Policies that tell what was spent."""
_AZURE_V1: Final = "/openai/v1"
_WILD: Final = frozenset("*?[")


def doubts(settings: Settings, provided: Collection[type[Any]], now: datetime) -> list[str]:
    """Warnings about a configuration that is valid. `provided` are the facts that its policies provide."""
    catalogue = settings.catalogue()
    return [
        *_about_policies(settings, provided),
        *_about_server(settings),
        *_about_urls(settings),
        *shadowed(catalogue.upstreams),
        *idle_contracts(settings, catalogue, now),
    ]


def _about_policies(settings: Settings, provided: Collection[type[Any]]) -> Iterator[str]:
    if Identity not in provided:
        yield "policies: nothing asks who is calling: no policy here provides an identity, as `entra` does"
    if all(entry.policy != _ACCESS for entry in settings.policies):
        yield "policies: nothing limits who may use what: the policy `access` is not in the list"
    names = [entry.policy for entry in settings.policies]
    telling = [f"`{name}`" for name in _TELLING if name in names]
    if telling and _LIMITS not in names and settings.upstreams:
        yield (
            f"policies: to {' and '.join(telling)} the tokens of an answer without usage cost $0, as an estimate:"
            " the policy `limits`, which knows what they can cost at most, is not in the list"
        )


def _about_server(settings: Settings) -> Iterator[str]:
    server = settings.server
    if server.admin is not None and not _is_private(server.admin):
        yield f"server.admin: whoever can reach {server.admin} can read it: keep it to loopback, or to your own"
    if server.tls is None and not _is_private(server.listen):
        yield (
            f"server.listen: whoever can reach {server.listen} can ask for verdicts and write completions:"
            " use a unix socket, loopback or `server.tls`"
        )


def _is_private(address: str) -> bool:
    """Whether only this machine can connect."""
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _about_urls(settings: Settings) -> Iterator[str]:
    for index, entry in enumerate(settings.upstreams):
        doubt = _about_url(entry)
        if doubt is not None:
            yield f"upstreams[{index}].url: {doubt}"


def _about_url(entry: UpstreamEntry) -> str | None:
    path = urlsplit(entry.url).path
    if entry.provider is Provider.OPENAI and not path:
        return f"it has no path, and SDK base URLs end in /v1: {entry.url}/v1"
    if entry.provider is Provider.AZURE and entry.api_version is None and not path.endswith(_AZURE_V1):
        if not path:
            return f"without `api_version` it is taken for {entry.url}{_AZURE_V1}: write that, or give an `api_version`"
        return (
            f"Azure's v1 API ends in {_AZURE_V1}, and with an `api_version` deployments go into the path: this is neither"
        )
    return None


def shadowed(upstreams: tuple[Upstream, ...]) -> Iterator[str]:
    """Entries that are never reached, because an earlier one of the same dialect serves all that they stand for."""
    for index, upstream in enumerate(upstreams):
        rivals = [other for other in upstreams[:index] if other.provider.dialect is upstream.provider.dialect]
        for position, entry in enumerate(upstream.models):
            path = f"upstreams[{index}].models[{position}]"
            server = _server(entry.name, rivals)
            if server is not None:
                yield f"{path}: {entry.name!r} is never reached here: {server} serves it before"
                continue
            earlier = [other.name for other in upstream.models[:position] if entry.is_glob or not other.is_glob]
            if other := next((name for name in earlier if covers(name, entry.name)), None):
                yield f"{path}: {entry.name!r} is never reached: {other!r} stands before it"


def _server(name: str, rivals: list[Upstream]) -> str | None:
    for rival in rivals:
        for entry in rival.models:
            if covers(entry.name, name):
                return f"upstream {rival.name!r}" + (f" ({entry.name!r})" if entry.name != name else "")
    return None


def covers(glob: str, other: str) -> bool:
    """Whether every model that `other` (a name or a glob) stands for is one that `glob` stands for.

    No where it is not plain: a warning must not be wrong.
    """
    if glob == other or not _WILD & set(other):
        return fnmatchcase(other, glob) or glob == other
    # A star in the other glob can only be matched by a star, and stands for less than it.
    return not set(glob) & set("?[") and "[" not in other and fnmatchcase(other, glob)
