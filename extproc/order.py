"""The order of a chain: what a policy needs, one before it must provide. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from extproc.policy import Policy


def check_order(policies: Iterable[type[Policy] | Policy], host_provides: frozenset[type[Any]]) -> list[str]:
    """Mistakes in the order of a chain: a fact that is needed and that nobody before provides, or that two provide."""
    known = set(host_provides)
    mistakes: list[str] = []
    for policy in policies:
        mistakes.extend(
            f"{policy.name} provides {kind.__name__}, which is provided already"
            for kind in policy.provides
            if kind in known
        )
        mistakes.extend(
            f"{policy.name} needs {kind.__name__}, which no policy before it provides"
            for kind in policy.requires
            if kind not in known
        )
        known.update(policy.provides)
    return mistakes
