"""However many tenants, models and users there are: bounded series, flat memory, and sums that are exact."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.completion import Completion
from extproc.identity import CallerKind, Identity
from extproc.price import Portions
from tests.policies.cost.world import CHAT, OPENAI, Counted, completion

TENANTS, MODELS, USERS = 10_000, 1_000, 100_000
TELLING = 2_000
"""Exchanges between two tellings."""
BOUND = 102 * 5 * (8 + 1 + 1 + 9) + 2 * 5 + 2 + 4
"""Tenants with `other` and `none`, three models with `other` and `none`; types, cost, time and results; then those of the
models alone, of reasons and of tags."""
TAGS = {"tags": [{"name": "project", "header": "x-project", "values": ["apollo", "gemini"]}]}


def traffic(count: int, *, seed: int) -> Iterator[Completion]:
    """Few tenants cost much, most cost little; every model is made up but two; every user asks once."""
    dice = random.Random(seed)
    plain = completion()
    for user in range(count):
        tenant = min(int(dice.paretovariate(0.5)), TENANTS) - 1
        model = dice.choice(["gpt-4o", "mini", f"gpt-junk-{dice.randrange(MODELS)}", f"junk-{dice.randrange(MODELS)}"])
        target = None if model.startswith("junk") else OPENAI
        facts = {
            Identity: Identity(f"t-{tenant}", f"u-{user}", "app", CallerKind.USER),
            type(CHAT): replace(CHAT, model=model),
            Charged: Charged(Portions(dice.randrange(1, 50), output=3), Basis.METERED, 1, 0, dice.randrange(100)),
        }
        yield replace(plain, facts=facts | ({type(OPENAI): target} if target is not None else {}))


def run(counted: Counted, completions: Iterator[Completion]) -> dict[str, int]:
    """Settle these. What the sums must be, in which nothing goes back at any telling."""
    sums = {"ai_cost_usd_total": 0, "ai_tokens_total": 0, "ai_requests_total": 0}
    start = {name: sum(counted.count(name).values()) for name in sums}
    for number, ended in enumerate(completions, 1):
        counted.settle(ended)
        charge = ended.get(Charged)
        assert charge is not None
        sums["ai_cost_usd_total"] += charge.dollars or 0
        sums["ai_tokens_total"] += charge.tokens.input + charge.tokens.output
        sums["ai_requests_total"] += 1
        if number % TELLING == 0:
            assert {name: sum(counted.count(name).values()) - start[name] for name in sums} == sums
    return sums


def test_series_are_bounded_and_their_sums_exact() -> None:
    counted = Counted(TAGS)
    run(counted, traffic(USERS, seed=1))
    found = counted.merged.read()
    assert sum(len(one.rows) for one in found) <= BOUND
    assert {labels[1] for labels in counted.rows("ai_requests_total")} == {"gpt-4o", "mini", "gpt-*", "other"}
    tenants = {labels[0] for labels in counted.rows("ai_cost_usd_total")}
    assert len(tenants) <= 101
    # By their number are those whom most exchanges are of.
    assert {f"t-{number}" for number in range(60)} | {"other"} <= tenants
    assert "u-" not in repr(found)
    assert counted.merged.refused == 0


def test_memory_is_flat() -> None:
    counted = Counted()
    held: list[int] = []
    tracemalloc.start()
    try:
        for seed in range(4):
            run(counted, traffic(10_000, seed=seed))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[1] < 500_000
