"""A catalogue, exchanges that have ended, and what has been counted of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from extproc.call import Call, Operation
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from extproc.metrics import Metrics
from extproc.policy import Surroundings
from extproc.price import Price
from extproc.workers.merged import Merged
from policies.cost.policy import CostPolicy
from policies.cost.settings import CostSettings

PRICE: Final = Price.per_million(input=Decimal("2.5"), output=Decimal(10), cached_input=Decimal("1.25"))
CATALOGUE: Final = Catalogue(
    upstreams=(
        Upstream(
            "openai",
            Provider.OPENAI,
            models=(Model("gpt-4o", price=PRICE), Model("mini", "gpt-4o-mini"), Model("gpt-*", price=PRICE)),
        ),
    )
)
ALICE: Final = Identity("t-1", "alice", "chat-ui", CallerKind.USER, tenant_name="contoso")
CHAT: Final = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o")
OPENAI: Final = Target("openai", "/v1/chat/completions", Provider.OPENAI, "gpt-4o")
STARTED: Final = datetime(2026, 1, 1, tzinfo=UTC)
ID: Final = "0af7651916cd43dd8448eb211c80319c"

Rows = dict[tuple[str, ...], tuple[int, ...]]


def completion(*facts: object, **changes: Any) -> Completion:
    """An exchange that was answered: 100 tokens of input, 20 of output, unless it says otherwise."""
    made = Completion(
        *(ID, "q-1", "POST", "/v1/chat/completions", 200, Verdict.ALLOW, Ending.ANSWERED, EndedBy.UPSTREAM),
        *(STARTED, 1.5, 0.25, 10, 20),
        usage=Usage(100, 20, 120),
        facts=by_type(facts or (ALICE, CHAT, OPENAI)),
    )
    return replace(made, **changes)


class Counted:
    """A policy, and all that its process tells."""

    def __init__(self, settings: Mapping[str, Any] | None = None, catalogue: Catalogue = CATALOGUE) -> None:
        self.metrics = Metrics()
        self.around = Surroundings(catalogue, lambda: 0.0, metrics=self.metrics)
        self.policy = CostPolicy.build(CostSettings.model_validate(settings or {}), self.around)
        self.merged = Merged()

    def settle(self, *completions: Completion) -> Counted:
        for one in completions:
            assert self.policy.on_settle(one) is None
        return self

    def tell(self) -> None:
        for piece in self.metrics.take():
            self.merged.add(1, piece)

    def rows(self, name: str) -> Rows:
        """The series of a metric, by labels."""
        self.tell()
        return next((one.rows for one in self.merged.read() if one.definition.name == name), {})

    def count(self, name: str) -> dict[tuple[str, ...], int]:
        """Of a counter its amounts, of a histogram how many there were."""
        return {labels: row[0] if len(row) == 1 else sum(row[:-1]) for labels, row in self.rows(name).items()}
