"""How long to wait before a dead worker is replaced. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FIRST: Final = 0.5
_LONGEST: Final = 10.0
_LONG_LIFE: Final = 60.0
"""Seconds after which a death is a matter of its own, and no repetition of the last one."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """How many deaths have followed one another closely."""

    deaths: int = 0

    def after(self, lived: float) -> tuple[float, BackOff]:
        """Seconds to wait when a worker has died after `lived` seconds, and what to remember.

        None at the first death, then half a second, doubled each time, at most ten.
        """
        deaths = 0 if lived >= _LONG_LIFE else self.deaths
        # Capped before it is raised: 2 to a large power is a large number.
        delay = min(_FIRST * 2 ** min(deaths - 1, 10), _LONGEST) if deaths else 0.0
        return delay, BackOff(deaths + 1)
