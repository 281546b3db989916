"""The port to redaction: what may stand in a record of a client's words."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol


class Words(Hashable, Protocol):
    """Replaces secrets and what is of persons. Never fails, and is quick about what it has seen before."""

    def text(self, value: str) -> str:
        """A short text, such as a name, an id or a path."""

    def tree(self, value: Any) -> Any:
        """A JSON value, such as a body; numbers that are not whole become text."""

    def user(self, tenant: str, user: str) -> str:
        """What a user of this tenant is called in records."""
