"""A sink and how it is followed: what whoever reads the configuration hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.audit.following.settings import SinkSettings
from policies.audit.following.sink import Redacts, Sink
from policies.audit.keys import redaction_key
from policies.audit.redaction import Redactor


class RedactionKeyError(Exception):
    """The key of a sink's redaction cannot be used."""


@dataclass(frozen=True, slots=True)
class Following:
    """`redact`: takes out of each record what this sink must not have, in place of what its settings say."""

    settings: SinkSettings
    sink: Sink
    redact: Redacts | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    def redactor(self, folder: Path) -> Redacts | None:
        """What takes out of each record what this sink must not have; None where it has all of it. Blocking.

        Raises:
            JournalError: the key of its redaction cannot be had.
            RedactionKeyError: the key is too short.
        """
        wanted = self.settings.redact
        if self.redact is not None or wanted is None:
            return self.redact
        key = redaction_key(wanted, folder)
        try:
            return Redactor(wanted, key)
        except ValueError as error:
            raise RedactionKeyError(str(error)) from None
