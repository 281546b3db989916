"""What a counter says that has been used, in a form in which it can be compared with the record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """One counter of one subject in one window.

    Attributes:
        subject: whose it is, by what a record calls it: `tenant_id`, `department`, `user_id`, `app_id`, `model`, `route`,
            `session_id`. Empty: everybody's together.
        measure: `requests`, `tokens` (weighted) or `dollars` (micro-dollars).
        start, end: of the window; UTC.
        used: with what is reserved and not settled.
        reserved: the part of `used` that is not settled.
        name: how people call it.
        was_reset: somebody has set it back, now or long ago: what was used before that is not in it.
        sometimes: it counts some of its subject's exchanges only: those on which its limit bears.
        since: when anything was counted for its tenant for the first time: it is no older. None where that is not known.
    """

    subject: Mapping[str, str]
    measure: str
    start: datetime
    end: datetime
    used: int
    reserved: int
    name: str
    was_reset: bool = False
    sometimes: bool = False
    since: datetime | None = None
