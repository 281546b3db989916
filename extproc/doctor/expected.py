"""What the configuration expects of Envoy, and which versions of it have been tested. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from extproc.settings import Server, Settings, Timeouts

TESTED: Final = ((1, 38), (1, 40))
"""Versions of Envoy that the test suite runs against, whatever the patch: 1.40, and with AI Gateway 1.38 as well."""
NAMESPACE: Final = "sluicegate"
"""Dynamic metadata of ours. What the verdict says stands there."""
UPSTREAM_FIELD: Final = "x-sluicegate-upstream"
STREAM_FIELD: Final = "x-sluicegate-stream"
INTERNAL_FIELDS: Final = (UPSTREAM_FIELD, STREAM_FIELD)


class Expected(msgspec.Struct, frozen=True):
    """Seconds and bytes that Envoy must allow. By default those of a configuration that does not say them."""

    decision_timeout: float = Server().decision_timeout
    max_body_bytes: int = Settings.model_fields["max_body_bytes"].default
    idle: float = Timeouts().idle
    stream_idle: float = Timeouts().stream_idle
    total: float = Timeouts().total


DEFAULTS: Final = Expected()


def of(settings: Settings) -> Expected:
    """What these settings expect."""
    times = settings.timeouts
    return Expected(
        decision_timeout=settings.server.decision_timeout,
        max_body_bytes=settings.max_body_bytes,
        idle=times.idle,
        stream_idle=times.stream_idle,
        total=times.total,
    )
