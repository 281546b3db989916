"""A sink and how it is followed: what whoever reads the configuration hands over."""

from __future__ import annotations

from dataclasses import dataclass

from policies.audit.following.settings import SinkSettings
from policies.audit.following.sink import Redacts, Sink


@dataclass(frozen=True, slots=True)
class Following:
    """`redact`: takes out of each record what this sink must not have."""

    settings: SinkSettings
    sink: Sink
    redact: Redacts | None = None

    @property
    def name(self) -> str:
        return self.settings.name
