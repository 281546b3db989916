"""Bootstraps: what an Envoy would be started with, as a view. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from extproc.doctor.listeners import clusters_of, is_tcp, managers_of
from extproc.doctor.tree import Tree, UnreadableError
from extproc.doctor.view import Gateway, address_of

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")
# Their members are named by whoever wrote the configuration.
_NAMED: Final = frozenset({"typed_per_filter_config", "typed_extension_protocol_options", "filter_metadata"})


def is_bootstrap(value: object) -> bool:
    """Whether this document has the form of a bootstrap."""
    return isinstance(value, dict) and ("static_resources" in value or "staticResources" in value)


def gateway_of(document: Any) -> Gateway:
    """The view of a bootstrap.

    Raises:
        UnreadableError: it is none, or it gets what matters from a management server.
    """
    tree = Tree(snake(document))
    static = tree.at("static_resources")
    listeners = static.items("listeners")
    if not listeners:
        raise UnreadableError(
            "static_resources.listeners: there are none: where a management server names them, ask the running Envoy"
        )
    clusters, endpoints = clusters_of(static.items("clusters"))
    admin = tree.at("admin", "address")
    return Gateway(
        managers=tuple(manager for each in listeners for manager in managers_of(each, {})),
        clusters=clusters,
        endpoints=endpoints,
        tcp=tuple(each.text("name") for each in listeners if is_tcp(each)),
        admin=address_of(admin) if admin else None,
        bootstrap=tree,
        unknown=("the version of Envoy: a bootstrap does not say it",),
    )


def snake(value: Any, *, named: bool = False) -> Any:
    """A document with its members in `snake_case`: Envoy takes `camelCase` as well, and a dump is always the former.

    `named`: names of members are not Envoy's.
    """
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, member in value.items():
        name = _snake(key) if isinstance(key, str) and not named else key
        renamed[name] = snake(member, named=name in _NAMED)
    return renamed


def _snake(name: str) -> str:
    return _CAMEL.sub(lambda match: f"_{match[0].lower()}", name)
