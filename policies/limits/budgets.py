"""How much of their budgets tenants have used, for Prometheus: what the store answers to reservations, and no more.

A process knows how a budget stood when an exchange of the tenant last came by. That holds until the window ends, or until
limits are changed at run time: then it is forgotten, and told anew by the next exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

from extproc.metrics import Labels, Metrics
from policies.limits.limit import KINDS
from policies.limits.reserving import Reserved

PER: Final = 1_000
"""Told by the thousandth."""
ROOM: Final = 100 * sum(kind.is_budget for kind in KINDS.values())
"""Series: the fullest budgets. Of 100 tenants, if they have one of every kind."""
_REMEMBERED: Final = 4_096
_Known = tuple[int, float]
"""Thousandths that are used, and until when that holds: seconds since the epoch."""


class Budgets:
    """Of one process. `see` each answer."""

    __slots__ = ("_clock", "_is_away", "_known")

    def __init__(self, metrics: Metrics, clock: Callable[[], float], is_away: Callable[[], bool]) -> None:
        """`clock`: seconds since the epoch. `is_away`: whether this worker counts by itself, which tells of no budget."""
        self._clock = clock
        self._is_away = is_away
        self._known: dict[Labels, _Known] = {}
        metrics.gauge(
            "sluicegate_limits_used_ratio",
            "Share of a tenant's own budget that is used and settled: the fullest budgets, as exchanges last found them.",
            ("tenant_id", "kind"),
            PER,
            room=ROOM,
            merge="max",
            read=self.read,
        )

    def see(self, reserved: Reserved) -> None:
        """A reservation was asked for, and was admitted or not."""
        if reserved.local or self._is_away():
            return
        for one in reserved.stood:
            limit, rule = one.limit, one.limit.rule
            # Of subjects within a tenant there may be any number.
            if not rule.is_budget or limit.subject.parts:
                continue
            standing = one.standing
            settled = standing.used - standing.reserved
            share = settled * PER // rule.amount if settled > 0 else 0
            labels = (limit.subject.tenant, rule.kind.name)
            before = self._known.get(labels)
            if before is None or before[0] != share:
                self._put(labels, (share, self._clock() + standing.reset / 1_000))

    def _put(self, labels: Labels, known: _Known) -> None:
        self._known[labels] = known
        if len(self._known) > _REMEMBERED:
            self._known = dict(nlargest(_REMEMBERED // 2, self._known.items(), key=_share))

    def forget(self) -> None:
        """Limits were changed at run time, or counters were set back."""
        self._known.clear()

    def read(self) -> Mapping[Labels, int]:
        """The fullest budgets of those whose windows have not ended."""
        now = self._clock()
        for labels in [labels for labels, (_, until) in self._known.items() if until <= now]:
            del self._known[labels]
        known = self._known.items()
        fullest = known if len(known) <= ROOM else nlargest(ROOM, known, key=_share)
        return {labels: share for labels, (share, _) in fullest}


def _share(one: tuple[Labels, _Known]) -> int:
    return one[1][0]
