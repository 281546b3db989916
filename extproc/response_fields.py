"""The header fields that policies may add to an answer: which names they can have. Pure.

A field travels to Envoy under its own name, in the namespace that holds the verdict. Every name has a hyphen, and no key
of the host's own has one, so that no policy can write over the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9]*(?:-[a-z0-9]+)+")
_TAKEN: Final = frozenset(
    {
        *("keep-alive", "request-id", "retry-after", "retry-after-ms", "set-cookie", "www-authenticate"),
        *("x-request-id", "x-should-retry"),
    }
)
"""Set by the host, or a matter of the connection."""
_TAKEN_PREFIXES: Final = ("access-control-", "content-", "proxy-", "sec-", "transfer-", "x-envoy-")


def is_free(name: str) -> bool:
    """Whether a policy may add a field of this name to an answer."""
    return _NAME.fullmatch(name) is not None and name not in _TAKEN and not name.startswith(_TAKEN_PREFIXES)


def collected(declared: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Every name once, in order, of what policies have declared.

    Raises:
        ValueError: one of them may not be added.
    """
    names = tuple(dict.fromkeys(name for names in declared for name in names))
    for name in names:
        if not is_free(name):
            raise ValueError(f"no policy may add the response field {name!r}")
    return names
