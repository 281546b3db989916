"""Limits, what is asked of them and how they stand, each in one line."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from policies.limits.limit import KINDS, Limit, Rule, Window
from policies.limits.plan import Caller
from policies.limits.store import Ask, Demand, Standing
from policies.limits.subjects import Subject, parse
from policies.limits.told import Stood

NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z, in milliseconds: the beginning of a minute, a day and a month."""


def limit(kind: str = "requests_per_minute", amount: int = 60, subject: str = "contoso/user=alice", **more: Any) -> Limit:
    """A limit; `subject` as the command line has it."""
    whom: Subject = parse(subject)
    rule = Rule(**{"kind": KINDS[kind], "amount": amount, "seconds": 86_400, "source": "limits[0]", **more})
    return Limit(whom, whom.key(), rule)


def demand(of: Limit, fixed: int = 1, per_output: int = 0, **more: Any) -> Demand:
    """What is asked of a limit. Budgets clamp."""
    rule, kind = of.rule, of.rule.kind
    clamps = kind.window not in (Window.MINUTE, Window.NONE)
    made = Demand(of.key, kind.counter, kind.measure, kind.window, rule.amount, fixed, per_output)
    return replace(made, **{"clamps": clamps, "shadow": rule.shadow, **more})


def stood(
    of: Limit, used: int = 0, before: int = 0, reset: int = 30_000, *, refused: bool = False, **asked: Any
) -> Stood:
    """How a limit stands; `asked`: of its demand."""
    return Stood(of, demand(of, **asked), Standing(used, before, reset, refused))


def ask(*demands: Demand, id: str = "r1", tenant: str = "contoso", lease: float = 60.0, **more: Any) -> Ask:
    return replace(Ask(id, tenant, demands, lease), **more)


def caller(**parts: Any) -> Caller:
    """Alice of Contoso, who asks gpt-4o through an application."""
    alice = Caller(
        tenant="t-1",
        tenant_name="contoso",
        department="R&D",
        user="alice",
        app="chat-ui",
        roles=frozenset({"User"}),
        model="gpt-4o",
        agent="",
        session="",
    )
    return replace(alice, **parts)
