"""What a check found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Error: it does not do what it is there for, or is open to others. Warning: it may be meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect.

    Attributes:
        code: stable, snake_case.
        where: `Kind namespace/name`, and the container if it is one's.
        what: what is wrong and what it leads to; a sentence.
    """

    code: str
    where: str
    what: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.where}: {self.code}: {self.what}"
