"""The version of the distribution, as records state it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _version() -> str:
    try:
        return version("sluicegate")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _version()
