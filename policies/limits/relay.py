"""What people do to limits at run time, told to whoever keeps a record: by one of all workers, at least once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extproc.metrics import OTHER, Metrics
from extproc.recorder import Event, Recorder
from policies.limits.limit import KINDS
from policies.limits.registry import Change, Registry
from policies.limits.subjects import EVERYONE, SubjectError, parse

CHANGED: Final = "limit.changed"
_AT_ONCE: Final = 100


class Relay:
    """Between the registry and the record."""

    def __init__(self, registry: Registry, recorder: Recorder, metrics: Metrics | None = None) -> None:
        self._registry = registry
        self._recorder = recorder
        self._changes = (metrics or Metrics()).counter(
            "sluicegate_limits_changes_total",
            "Limits that were set, unset or set back at run time, once they are on record.",
            ("kind",),
            room=len(KINDS) + 1,
        )
        for kind in KINDS:
            # There from the start: nothing grows from what was not there yet.
            self._changes.add((kind,), 0)

    async def look(self) -> int:
        """Tell what has been changed since the last time; how many changes there were.

        What has been told is remembered only once it is written down: a worker that is killed in between tells it again.
        """
        if not self._recorder.is_kept:
            return 0
        count = 0
        while found := await self._registry.untold(_AT_ONCE):
            names = await self._registry.tenants()
            for change in found:
                self._recorder.tell(event(change, names))
            await self._recorder.written()
            await self._registry.told(found[-1].id)
            for change in found:
                # Counters that are set back are several at once.
                for kind in change.kind.split(","):
                    self._changes.add((kind if kind in KINDS else OTHER,))
            count += len(found)
        return count


def event(change: Change, names: Mapping[str, str]) -> Event:
    """A change as the record has it. `names`: what people call tenants."""
    try:
        tenant = parse(change.subject).tenant
    except SubjectError:
        # Another version's.
        tenant = ""
    values = {
        "tenant_id": "" if tenant == EVERYONE else tenant,
        "tenant": names.get(tenant, ""),
        "by": change.by,
        "action": change.action,
        "subject": f"{change.subject} {change.kind}",
        "before": "" if change.before is None else str(change.before),
        "after": "" if change.after is None else str(change.after),
    }
    return Event(CHANGED, values, change.id)
