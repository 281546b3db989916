"""The cost policy: counts what each exchange used and cost when it is over. Decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from extproc.actuals import Charged, charged, price_mark, price_of
from extproc.call import Call
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Verdict
from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.metrics import NONE, Histogram, Labels
from extproc.outcome import CONTINUE, RequestOutcome
from extproc.policy import Policy, Surroundings
from policies.cost.attribution import Models, result
from policies.cost.series import MICRO, UNPRICED_REASONS, CostSeries
from policies.cost.settings import CostSettings
from policies.cost.tags import Attribution, Tags

_ID: Final = 32


class CostPolicy(Policy):
    """Stands behind `limits`, whose account of an exchange it then takes, and before `audit`."""

    __slots__ = ("_models", "_pinned", "_series", "_tags", "_tariff")

    name = "cost"
    Settings = CostSettings
    provides = (Attribution,)

    def __init__(self, settings: CostSettings, surroundings: Surroundings) -> None:
        self._models = Models(surroundings.catalogue)
        self._tariff = surroundings.catalogue.tariff
        self._tags = Tags(settings.tags)
        self._pinned = frozenset(settings.pinned)
        self._series = CostSeries(
            surroundings.metrics,
            tenants=settings.tenants,
            pinned=settings.pinned,
            models=self._models.count,
            # And `other` and `none` of each.
            tags=sum(len(tag.values) + 2 for tag in settings.tags),
        )

    @classmethod
    def build(cls, settings: CostSettings, surroundings: Surroundings) -> CostPolicy:
        return cls(settings, surroundings)

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        """Remember what the header fields say: they are gone when it is over."""
        said = self._tags.read(exchange.request.headers)
        if said is not None:
            exchange.put(said)
        return CONTINUE

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        """Count it."""
        series = self._series
        identity, call, target = completion.identity, completion.call, completion.get(Target)
        tenant = identity.tenant if identity is not None else NONE
        model = self._models.label(call, target)
        if completion.verdict is not Verdict.ALLOW:
            self._weigh(identity, 1)
            series.requests.add((tenant, model, result(completion)))
            return None
        charge = charged(completion, None if completion.get(Charged) else price_of(self._tariff, completion))
        dollars = charge.dollars or 0
        self._weigh(identity, 1 + dollars)
        series.requests.add((tenant, model, result(completion)))
        series.count_tokens(tenant, model, charge.tokens)
        said = completion.get(Attribution)
        self._count_cost(tenant, model, charge, said)
        self._time(completion, call, (tenant, model), said)
        return None

    def _weigh(self, identity: Identity | None, weight: int) -> None:
        """Which tenants have series of their own: those that cost most, and of what costs nothing those that ask most."""
        if identity is None:
            return
        if self._pinned and identity.tenant_name in self._pinned:
            self._series.tenants.pin(identity.tenant)
        self._series.tenants.weigh(identity.tenant, weight)

    def _count_cost(self, tenant: str, model: str, charge: Charged, said: Attribution | None) -> None:
        series = self._series
        if mark := price_mark(charge):
            series.unpriced.add((UNPRICED_REASONS[mark],))
        if charge.dollars is None:
            return
        series.cost.add((tenant, model), charge.dollars)
        if self._tags.names:
            # An exchange that was decided by a process without these tags says nothing of them.
            values = said.tags if said is not None and len(said.tags) == len(self._tags.names) else None
            for index, name in enumerate(self._tags.names):
                series.tagged.add((name, values[index] if values is not None else NONE), charge.dollars)

    def _time(self, completion: Completion, call: Call | None, at: tuple[str, str], said: Attribution | None) -> None:
        series, model = self._series, (at[1],)
        whole = int(completion.duration * MICRO)
        series.seconds.observe(at, whole)
        if not series.seconds.shows(at):
            _show(series.seconds, at, whole, completion, said)
        begun = completion.first_byte
        if call is None or not call.stream or begun is None:
            return
        if completion.ending is not Ending.ANSWERED or completion.status >= 300:
            return
        first = int(begun * MICRO)
        series.first.observe(model, first)
        if not series.first.shows(model):
            _show(series.first, model, first, completion, said)
        usage = completion.usage
        tokens = usage.output if usage is not None else completion.output_floor
        if tokens > 1:
            series.between.observe(model, (whole - first) // (tokens - 1))


def _show(histogram: Histogram, labels: Labels, value: int, completion: Completion, said: Attribution | None) -> None:
    """Show this exchange in the histogram. A trace that begins at the gateway has the id of its exchange."""
    trace = said.trace if said is not None else ""
    if not trace and len(completion.id) == _ID:
        trace = completion.id
    if trace:
        histogram.exemplify(labels, value, trace, completion.started.timestamp() + completion.duration)
