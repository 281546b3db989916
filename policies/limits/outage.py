"""What limits mean while Redis cannot be asked: each as it declares. One for each worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from policies.limits.limit import Limit, Measure, Outage, Rule
from policies.limits.memory_store import MemoryStore
from policies.limits.store import Answer, Ask, Demand, Standing, Used

_UNCOUNTED: Final = Standing(0, 0, 0)
"""How a limit stands that is not counted meanwhile."""


class Fallback:
    """Counts in the worker's own memory, up to its share of what a limit admits.

    Limits on parallel requests are not enforced meanwhile: a worker does not learn when an exchange of its own has ended.
    """

    __slots__ = ("_local_for", "_memory", "_since", "_workers")

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
        counted: list[tuple[int, Rule, Demand]] = []
        for index, (limit, demand) in enumerate(zip(limits, ask.demands, strict=True)):
            rule = limit.rule
            if rule.shadow:
                continue
            if rule.outage is Outage.CLOSED or rule.amount <= 0 or (rule.outage is Outage.LOCAL and outlasted):
                return None
            if rule.kind.measure is not Measure.PARALLEL:
                counted.append((index, rule, self._share(rule, demand)))
        standings = [_UNCOUNTED] * len(ask.demands)
        if not counted:
            return Answer(True, ask.output, tuple(standings))
        answer = self._memory.reserve_now(msgspec.structs.replace(ask, demands=tuple(one for *_, one in counted), at=0))
        if not answer.standings:
            return answer
        for (index, rule, share), standing in zip(counted, answer.standings, strict=True):
            if standing.refused and rule.outage is Outage.ALLOWANCE:
                return None
            standings[index] = _of_the_whole(rule, share, standing)
        return msgspec.structs.replace(answer, standings=tuple(standings))

    def settle(self, tenant: str, reservation: str, used: Used) -> None:
        """Where the worker that counted learns how it ended."""
        self._memory.settle_now(tenant, reservation, used)

    def _share(self, rule: Rule, demand: Demand) -> Demand:
        if rule.outage is Outage.ALLOWANCE:
            # Never exceeded, also where it is too small to be shared.
            share = min(rule.allowance, rule.amount) // self._workers
        else:
            # At least one: a limit of 3 among 4 workers would else be none.
            share = max(1, rule.amount // self._workers)
        return msgspec.structs.replace(demand, amount=share)


def _of_the_whole(rule: Rule, share: Demand, standing: Standing) -> Standing:
    """How the limit stands if all workers use as much of it as this one: what callers are told, and when to come back."""
    if rule.outage is Outage.ALLOWANCE:
        return standing

    def scaled(value: int) -> int:
        return -(-value * rule.amount // share.amount)

    used = rule.amount if standing.refused else scaled(standing.used)
    return msgspec.structs.replace(standing, used=used, before=scaled(standing.before))
