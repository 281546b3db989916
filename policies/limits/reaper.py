"""Reservations whose lease has ended: charged as they were made, once, and told of.

A settlement that comes later still corrects them. One kind is not charged: where Envoy's access log has told that the
exchange ended before its verdict arrived, nothing went up, and what was reserved is given back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Final

from msgspec.structs import asdict

from extproc.metrics import Metrics
from extproc.recorder import Event, Recorder
from extproc.tasks import spawn
from policies.limits.registry import Registry
from policies.limits.relay import Relay
from policies.limits.store import Overdue, Store, StoreUnavailableError, Used
from policies.limits.subjects import EVERYONE
from policies.limits.tallying import FIELDS, subject_of

_log = logging.getLogger(__name__)
_ROUND: Final = 1.0
"""Seconds between rounds, at least."""
EXPIRED: Final = "limit.lease_expired"
_OFFICE: Final = 10.0
_AT_ONCE: Final = 100
_IN_A_ROW: Final = 20
"""Times in a round that the leases of a tenant are looked at, `_AT_ONCE` each time."""
_PER_SECOND: Final = 2_000
"""Tenants that are looked at in a second: each is one command."""


class Reaper:
    """One of all workers reaps. `start`, then `stop`."""

    def __init__(
        self, store: Store, registry: Registry, recorder: Recorder | None = None, metrics: Metrics | None = None
    ) -> None:
        """`recorder`: where to tell of leases that ended, and of what people change at run time; `metrics` count that."""
        self._store = store
        self._registry = registry
        self._recorder = recorder or Recorder()
        self._relay = Relay(registry, self._recorder, metrics)
        self._names: Mapping[str, str] = {}
        self._name = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._expired = self._returned = 0

    def start(self) -> None:
        self._task = spawn(self._work(), name="limits: reap")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def counters(self) -> Mapping[str, int]:
        """Reservations that were charged as they were made, and those that were given back."""
        return {"leases_expired": self._expired, "leases_returned": self._returned}

    async def reap(self) -> int:
        """Look at every tenant once; how many leases had ended. What fails for one tenant keeps no other waiting."""
        self._names = await self._registry.tenants()
        tenants = [EVERYONE, *self._names]
        count = 0
        failure: BaseException | None = None
        for start in range(0, len(tenants), _AT_ONCE):
            batch = tenants[start : start + _AT_ONCE]
            told = await asyncio.gather(*map(self._reap, batch), return_exceptions=True)
            failures = [one for one in told if isinstance(one, BaseException)]
            if len(failures) == len(batch):
                raise failures[0]
            failure = failures[0] if failures else failure
            count += sum(one for one in told if not isinstance(one, BaseException))
            if len(tenants) > _AT_ONCE:
                await asyncio.sleep(_AT_ONCE / _PER_SECOND)
        if failure is not None:
            raise failure
        return count

    async def _reap(self, tenant: str) -> int:
        count = 0
        # After an outage there are thousands; whoever reaps must not lose the office over them.
        for _ in range(_IN_A_ROW):
            overdue = await self._store.overdue(tenant, _AT_ONCE)
            for one in overdue:
                await self._end(one)
            count += len(overdue)
            if len(overdue) < _AT_ONCE:
                break
        return count

    async def _end(self, one: Overdue) -> None:
        if one.request_id and await self._registry.witnessed(one.request_id):
            if await self._store.settle(one.tenant, one.id, Used()):
                self._returned += 1
            return
        if await self._store.expire(one.tenant, one.id):
            self._expired += 1
            _log.warning(
                "reservation %s of tenant %s was never settled: it is charged as it was made", one.id, one.tenant
            )
            name = self._names.get(one.tenant, "")
            values = {"tenant_id": one.tenant, "tenant": name, "reservation_id": one.id, "request_id": one.request_id}
            self._recorder.tell(Event(EXPIRED, values | charged(one), f"{one.tenant}/{one.id}"))

    async def _work(self) -> None:
        while True:
            try:
                if await self._registry.elected(self._name, _OFFICE):
                    await self.reap()
                    await self._relay.look()
            except StoreUnavailableError:
                pass
            except Exception as error:
                _log.error("reaping failed: %s", type(error).__name__, exc_info=error)
            await asyncio.sleep(_ROUND)


def charged(one: Overdue) -> dict[str, str]:
    """What a lease that has ended is charged, and on whose counters: where no half of its exchange was written down,
    nothing else tells."""
    values = {name: str(amount) for name, amount in asdict(one.reserved).items() if amount}
    for subject in filter(None, map(subject_of, one.keys)):
        # For a name that was too long stands its hash.
        values |= {FIELDS[level]: value for level, value in subject.parts if not value.startswith("#")}
    return values
