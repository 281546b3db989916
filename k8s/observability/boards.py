"""All dashboards, and how they are written down. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from k8s.observability.platform import platform
from k8s.observability.reliability import reliability
from k8s.observability.tenants import tenants
from k8s.observability.usage import usage
from k8s.observability.verdicts import verdicts

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final[Mapping[str, Callable[[], dashboard.Dashboard]]] = {
    "platform": platform,
    "usage": usage,
    "tenants": tenants,
    "policies": verdicts,
    "sre": reliability,
}
"""By the name of the file."""


def written(name: str) -> str:
    """A dashboard as Grafana imports it: JSON."""
    made = BOARDS[name]().build()
    for number, panel in enumerate(made.panels or (), start=1):
        # Without one Grafana gives each a new id whenever it is imported.
        panel.id_val = number
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
