"""What limits mean while Redis cannot be asked: each as it declares. One for each worker."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policies.limits.limit import Limit, Measure, Outage
from policies.limits.memory_store import MemoryStore
from policies.limits.store import Answer, Ask, Demand, Used


class Fallback:
    """Counts in the worker's own memory, up to its share of what a limit admits.

    Limits on parallel requests are not enforced meanwhile: a worker does not learn when an exchange of its own has ended.
    """

    def __init__(self, memory: MemoryStore, *, workers: int, local_for: float) -> None:
        """`workers`: how many share a limit; `local_for`: seconds after which limits that are `local` close."""
        self._memory = memory
        self._workers = workers
        self._local_for = local_for
        self._since: float | None = None

    def away(self, now: float) -> None:
        """The store could not be asked. `now`: seconds on a clock that does not go back."""
        if self._since is None:
            self._since = now

    def back(self) -> None:
        """The store has answered."""
        self._since = None

    def is_away(self) -> bool:
        """Whether the store was away when it was last asked."""
        return self._since is not None

    def decide(self, limits: Sequence[Limit], ask: Ask, now: float) -> Answer | None:
        """What these limits say without the store; None where one of them is closed. `ask`'s demands are in the order of
        `limits`."""
        outlasted = self._since is not None and now - self._since > self._local_for
        shares = []
        for limit, demand in zip(limits, ask.demands, strict=True):
            if limit.shadow:
                continue
            if limit.outage is Outage.CLOSED or limit.amount == 0 or (limit.outage is Outage.LOCAL and outlasted):
                return None
            if limit.kind.measure is not Measure.PARALLEL:
                shares.append(self._share(limit, demand))
        if not shares:
            return Answer(True, ask.output, ())
        answer = self._memory.reserve_now(msgspec.structs.replace(ask, demands=tuple(shares), at=0))
        if not answer.admitted and any(
            standing.refused and limit.outage is Outage.ALLOWANCE
            for limit, standing in zip(
                (limit for limit in limits if not limit.shadow and limit.kind.measure is not Measure.PARALLEL),
                answer.standings,
                strict=True,
            )
        ):
            return None
        return answer

    def settle(self, tenant: str, reservation: str, used: Used) -> None:
        """Where the worker that counted learns how it ended."""
        self._memory.settle_now(tenant, reservation, used)

    def _share(self, limit: Limit, demand: Demand) -> Demand:
        amount = limit.allowance if limit.outage is Outage.ALLOWANCE else limit.amount
        # Of a rate, at least one: a limit of 3 among 4 workers would else be none. An allowance is never exceeded.
        share = amount // self._workers if limit.outage is Outage.ALLOWANCE else max(1, amount // self._workers)
        return msgspec.structs.replace(demand, amount=share)
