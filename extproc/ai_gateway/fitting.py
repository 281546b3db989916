"""What a configuration asks for that this profile cannot do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from extproc.ai_gateway.pieces import Options
from extproc.settings import Settings


def misfits(settings: Settings, options: Options, *, standalone: bool, told: Sequence[str]) -> list[str]:
    """Every reason for which the profile cannot serve these settings, each with the place in the configuration."""
    return list(_opaque(settings))


def _opaque(settings: Settings) -> Iterator[str]:
    for index, route in enumerate(settings.opaque):
        yield f"opaque[{index}]: AI Gateway knows no path {route.path}: use the plain profile"
