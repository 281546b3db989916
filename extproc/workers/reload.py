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


def told_to_envoy(old: Settings, new: Settings) -> list[str]:
    """The sections that changed and that Envoy's bootstrap depends on: Envoy must be told anew, by whoever runs it."""
    before = bootstrap(old, admin="127.0.0.1:0")
    return [
        name
        for name in Settings.model_fields
        if getattr(old, name) != getattr(new, name)
        and bootstrap(old.model_copy(update={name: getattr(new, name)}), admin="127.0.0.1:0") != before
    ]
