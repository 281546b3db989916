"""What a new configuration changes that new workers alone cannot. Pure."""

from __future__ import annotations

from typing import Final

from extproc.envoy_profile import bootstrap
from extproc.settings import Settings

_BOUND: Final = ("workers", "listen", "admin", "transport")
"""Keys of `server` that are the supervisor's own: it has bound the sockets."""


def refusals(old: Settings, new: Settings) -> list[str]:
    """Why the new configuration needs a restart; empty if it does not. A line for each key."""
    return [
        f"server.{key}: a reload cannot change it: restart the policy server"
        for key in _BOUND
        if getattr(old.server, key) != getattr(new.server, key)
    ]


def told_to_envoy(rendered: Settings, new: Settings) -> list[str]:
    """The sections that changed since Envoy was rendered, and that its bootstrap depends on: it must be told anew."""
    before = bootstrap(rendered, admin="127.0.0.1:0")
    return [
        name
        for name in Settings.model_fields
        if getattr(rendered, name) != getattr(new, name)
        and bootstrap(rendered.model_copy(update={name: getattr(new, name)}), admin="127.0.0.1:0") != before
    ]
