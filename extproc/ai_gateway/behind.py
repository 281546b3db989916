"""Whether we stand behind Envoy AI Gateway's filter, where we must not: it has a copy of the body before we judge it.

In front, no header of AI Gateway's is there yet. Behind, it has named the request by Envoy's own id and a random part.
Envoy makes that id anew for each request, so no client can make a gateway believe that it stands behind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from extproc.exchange import Request

NAMED: Final = "x-ai-eg-internal-req-id"
"""What AI Gateway calls a request: `{x-request-id}-{uuid}`."""
OWN: Final = "x-ai-eg-"
"""Begins the names of the fields that AI Gateway sets, and needs again after us."""
LACKS: Final = "it stands behind AI Gateway's filter and not in front of it: see `filterOrder` of the EnvoyProxy"
_REMEMBERED_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


def is_named(request: Request) -> bool:
    """Whether AI Gateway has seen this request before us."""
    return bool(request.request_id) and any(
        name.startswith(f"{request.request_id}-") for name in request.headers.all(NAMED)
    )


class Standing:
    """Where we stand, as far as requests have told. Remembered for a minute after the last that came from behind."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: float | None = None
        self._said: float | None = None

    def saw_behind(self) -> None:
        """A request came to us that AI Gateway had seen before. An error is logged, once a minute."""
        self._seen = now = self._now()
        if self._said is None or now - self._said >= _REMEMBERED_SECONDS:
            self._said = now
            _log.error("the policy server is not ready: %s", LACKS)

    def lacking(self) -> str | None:
        """Why we are not ready; None where nothing is wrong."""
        behind = self._seen is not None and self._now() - self._seen < _REMEMBERED_SECONDS
        return LACKS if behind else None
