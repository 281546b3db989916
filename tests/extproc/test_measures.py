"""What is measured of a chain: each policy's time and what it said, whatever third parties make up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec.structs import replace

from extproc.chain import Chain, Course, Link
from extproc.completion import Completion, Decision, Verdict
from extproc.exchange import Exchange
from extproc.measures import Measures, tell_certificate
from extproc.metrics import Metrics
from extproc.outcome import CONTINUE, Continue, Reject, RequestOutcome
from extproc.policy import Policy
from extproc.snapshots import read
from tests.extproc.test_chain import COMPLETION
from tests.extproc.world import exchange


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], int]:
    """How many there were, by labels."""
    found: dict[tuple[str, ...], int] = {}
    for piece in metrics.take():
        snapshot = read(piece)
        assert snapshot is not None
        for series in snapshot.series:
            if series.definition.name == name:
                for labels, value in series.values:
                    found[labels] = value if isinstance(value, int) else sum(value[:-1])
    return found


DECISIONS = [
    (Decision("limits", "reject", "rate_limited"), ("limits", "reject", "rate_limited")),
    (Decision("limits", "reject", "rate_limited", enforced=False), ("limits", "reject_shadow", "rate_limited")),
    (Decision("cache", "respond"), ("other", "respond", "")),
    (Decision("limits", "respond", enforced=False), ("limits", "respond_shadow", "")),
    (Decision("limits", "failed", "policy_failed"), ("limits", "failed", "policy_failed")),
    (Decision("limits", "failed", "policy_failed", enforced=False), ("limits", "failed_open", "policy_failed")),
    (Decision("gateway", "reject", "model_not_found"), ("gateway", "reject", "model_not_found")),
    (Decision("limits", "sang", "x"), ("limits", "other", "x")),
    (Decision("limits", "reject", "No Code"), ("limits", "reject", "other")),
    (Decision("limits", "reject", "x" * 65), ("limits", "reject", "other")),
]


@pytest.mark.parametrize(("decision", "labels"), DECISIONS)
def test_what_is_said_is_counted(decision: Decision, labels: tuple[str, ...]) -> None:
    metrics = Metrics()
    Measures(metrics, ["limits"]).ended(replace(COMPLETION, verdict=Verdict.REJECT, decisions=(decision,)))
    assert counted(metrics, "sluicegate_decisions_total") == {labels: 1}


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.ALLOW, {("all", "allow", ""): 1}),
        (Verdict.NONE, {("gateway", "none", ""): 1}),
        (Verdict.REJECT, {}),
    ],
)
def test_who_may_pass_is_counted(verdict: Verdict, expected: dict[tuple[str, ...], int]) -> None:
    metrics = Metrics()
    Measures(metrics, []).ended(replace(COMPLETION, verdict=verdict, decisions=()))
    assert counted(metrics, "sluicegate_decisions_total") == expected


def test_codes_that_are_made_up_are_bounded() -> None:
    metrics = Metrics()
    measures = Measures(metrics, ["p"])
    for index in range(1_000):
        said = (Decision("p", "reject", f"code_{index}"), Decision(f"q{index}", "reject", "known"))
        measures.ended(replace(COMPLETION, verdict=Verdict.REJECT, decisions=said))
    found = counted(metrics, "sluicegate_decisions_total")
    assert len(found) <= 202
    assert sum(found.values()) == 2_000
    assert found["other", "reject", "known"] == 1_000


class Slow(Policy):
    """Answers at once, or after a moment."""

    def __init__(self, name: str, *, waits: bool, outcome: RequestOutcome = CONTINUE) -> None:
        self.name = name  # type: ignore[misc]
        self._waits, self._outcome = waits, outcome

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome | Awaitable[RequestOutcome]:
        return self._later() if self._waits else self._outcome

    async def _later(self) -> RequestOutcome:
        await asyncio.sleep(0)
        return self._outcome

    def on_request_body(self, exchange: Exchange) -> RequestOutcome:
        raise RuntimeError

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        return asyncio.sleep(0) if self._waits else None


async def test_every_policy_that_is_asked_is_timed_once_for_each_question() -> None:
    metrics = Metrics()
    links = [Link(Slow("a", waits=False, outcome=Continue())), Link(Slow("b", waits=True)), Link(Slow("c", waits=False))]
    chain = Chain(links, metrics=metrics)
    course = Course(exchange())
    pending = chain.request_headers(course)
    assert isinstance(pending, Awaitable)
    assert await pending is None
    assert counted(metrics, "sluicegate_policy_seconds") == {("a",): 1, ("b",): 1, ("c",): 1}
    # The first one fails, and nobody behind it is asked.
    assert isinstance(chain.request_body(course), Reject)
    assert counted(metrics, "sluicegate_policy_seconds") == {("a",): 1}
    settling = chain.settle(COMPLETION)
    assert settling is not None
    await settling
    assert counted(metrics, "sluicegate_policy_settle_seconds") == {("a",): 1, ("b",): 1, ("c",): 1}


def test_a_chain_without_metrics_has_its_own() -> None:
    chain = Chain([])
    chain.settle(COMPLETION)
    assert sum(counted(chain.metrics, "sluicegate_decisions_total").values()) == 1


def test_of_all_processes_the_certificate_that_ends_first_is_told() -> None:
    metrics = Metrics()
    now: dict[tuple[str, ...], int] = {}
    tell_certificate(metrics, lambda: now)
    assert metrics.take() == []
    now[()] = 1_800_000_000
    (piece,) = metrics.take()
    told = read(piece)
    assert told is not None
    ((series,), name) = (told.series, "sluicegate_tls_certificate_ends_seconds")
    assert (series.definition.name, series.definition.merge, series.values) == (name, "min", [((), 1_800_000_000)])
