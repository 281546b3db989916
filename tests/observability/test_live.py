"""A real Prometheus scrapes a running gateway: dashboards and rules have data, alerts fire and go."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.observability import questions
from tests.observability.traffic import flowing, good_ones, odd_ones, refused_ones, steady
from tests.observability.watched import BUDGET, SINK, SPENDER, UNPRICED, Watched, watched
from tests.policies.audit.following.receiver import Reply

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(prometheus_installed: None) -> AsyncIterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="sgw-", dir="/tmp") as folder:
        async with watched(Path(folder), questions.hurried(questions.groups())) as running:
            yield running


def empty(gateway: Watched) -> set[str]:
    """Where nothing is to be seen: panels and rules by their names."""
    found = set()
    with gateway.postgres.connect("ledger") as ledger:
        for asked in questions.asked_by_dashboards():
            text = questions.filled(asked.expression)
            seen = ledger.execute(text.encode()).fetchall() if asked.sql else gateway.prometheus.query(text)
            if not seen:
                found.add(asked.where)
    for rule in questions.rules():
        looked_at = [rule["record"]] if "record" in rule else questions.selectors(rule["expr"])
        if not all(gateway.prometheus.query(selector) for selector in looked_at):
            found.add(rule.get("record") or rule["alert"])
    return found


async def until(gateway: Watched, done: Callable[[set[str]], bool], what: str) -> None:
    await asyncio.to_thread(gateway.prometheus.until, lambda: done(gateway.prometheus.firing()), what)


async def fires(gateway: Watched, *alerts: str) -> None:
    await until(gateway, lambda firing: set(alerts) <= firing, f"{alerts} fire")


async def is_quiet(gateway: Watched, *alerts: str) -> None:
    await until(gateway, lambda firing: not set(alerts) & firing, f"{alerts} have gone")


async def test_a_row_of_the_ledger_that_was_changed_alerts(gateway: Watched) -> None:
    """Before anything else happens: of what is killed below, some is in one place alone."""

    def change(by: int) -> None:
        with gateway.postgres.connect("ledger") as ledger:
            first = "exchange_id = (SELECT min(exchange_id) FROM usage)"
            ledger.execute(f"UPDATE usage SET cost_micro = cost_micro + {by} WHERE {first}".encode())  # noqa: S608
            ledger.commit()

    alert, tell = "SluicegateCountersDoNotReconcile", ("ledger", "reconcile", "--from", "1h", "--tell")
    for _ in range(3):
        await good_ones(gateway)
    assert "agree" in await settled(gateway, tell)
    await is_quiet(gateway, alert)
    await asyncio.to_thread(change, 5)
    try:
        # What has ended just now explains any difference: not for long.
        assert "\n1 differences" in await settled(gateway, tell, "\n1 differences", status=1)
        await fires(gateway, alert)
    finally:
        await asyncio.to_thread(change, -5)
    assert "agree" in await settled(gateway, tell)
    await is_quiet(gateway, alert)


async def settled(gateway: Watched, tell: tuple[str, ...], wanted: str = "agree", *, status: int = 0) -> str:
    """What the reconciliation says once it says this."""
    said = ""
    for _ in range(20):
        with contextlib.suppress(AssertionError):
            # What is on its way to the ledger is no difference, and no agreement either.
            if wanted in (said := await gateway.sluicegate(*tell, status=status)):
                break
    return said


async def test_a_certificate_that_ends_alerts(gateway: Watched) -> None:
    alert = "SluicegateCertificateEnds"
    await is_quiet(gateway, alert)
    gateway.certify(10)
    await fires(gateway, alert)
    (days,) = gateway.prometheus.query("min(sluicegate_tls_certificate_ends_seconds - time()) / 86400")
    assert 9.9 < days.value < 10.1
    gateway.certify(90)
    await is_quiet(gateway, alert)
    assert await gateway.ask() == 200


async def test_an_identity_provider_that_is_gone_makes_keys_old(gateway: Watched) -> None:
    alert = "SluicegateStaleKeys"
    await is_quiet(gateway, alert)
    await asyncio.to_thread(gateway.identity.kill)
    await fires(gateway, alert)
    # They are believed still.
    assert await gateway.ask() == 200
    await gateway.identity.start()
    await is_quiet(gateway, alert)


async def test_a_sink_that_refuses_and_one_that_is_away_alert(gateway: Watched) -> None:
    refused, behind = "SluicegateDeadLetters", "SluicegateFollowersBehind"
    async with flowing(lambda: steady(gateway)):
        await is_quiet(gateway, refused, behind)
        gateway.webhook.rule = lambda _: Reply(400)
        await fires(gateway, refused)
        gateway.webhook.rule = lambda _: Reply(503)
        await fires(gateway, behind)
        gateway.webhook.rule = lambda _: Reply()
        await is_quiet(gateway, behind)
        await gateway.sluicegate("audit", "replay", SINK)
        await is_quiet(gateway, refused)
        # Nobody follows: sinks fall behind all the same.
        await asyncio.to_thread(gateway.follower.kill)
        await fires(gateway, behind)
        await gateway.follower.start()
        await is_quiet(gateway, behind)


async def test_a_budget_that_is_lowered_alerts(gateway: Watched) -> None:
    alerts = ("SluicegateBudgetNearlyUsed", "SluicegateLimitsChanged")
    change = ("limits", "set", "fabrikam", "tokens_per_day", "--by", "ops", "--yes")
    async with flowing(lambda: steady(gateway)):
        await is_quiet(gateway, *alerts)
        await gateway.sluicegate(*change, "1", "--config")
        await fires(gateway, *alerts)
        (share,) = gateway.prometheus.query('max by (kind) (sluicegate_limits_used_ratio{kind="tokens_per_day"})')
        assert share.value > 1
        await gateway.sluicegate(*change, "--unset", "--config")
        await is_quiet(gateway, *alerts)


async def test_an_upstream_that_is_gone_alerts(gateway: Watched) -> None:
    alerts = ("SluicegateUpstreamUnavailable", "SluicegateErrorRate")
    async with flowing(lambda: steady(gateway)):
        await is_quiet(gateway, *alerts)
        await asyncio.to_thread(gateway.simulator.kill)
        await fires(gateway, *alerts)
        await gateway.simulator.start()
        await is_quiet(gateway, *alerts)


async def test_redis_and_the_journals_disk_alert(gateway: Watched) -> None:
    alerts = ["SluicegateRedisUnavailable"]
    async with flowing(lambda: steady(gateway)):
        gateway.store.pause()
        if gateway.disk.small:
            gateway.disk.fill()
            alerts.append("SluicegateJournalNotWriting")
        await fires(gateway, *alerts)
        gateway.store.resume()
        gateway.disk.relieve()
        await is_quiet(gateway, *alerts)


async def test_what_is_spent_and_not_priced_and_a_worker_that_dies_again_and_again_alert(gateway: Watched) -> None:
    async def spend() -> None:
        while True:
            await gateway.ask(SPENDER, tokens=BUDGET // 12, members={"max_tokens": BUDGET // 12})
            await gateway.ask("carl", model=UNPRICED)

    async def one() -> dict[str, Any]:
        return next(worker for worker in await gateway.workers() if worker["worker"] == 1)

    async def kill() -> None:
        while True:
            pid = (await one())["pid"]
            if pid is not None:
                gateway.kill(pid)
            await asyncio.sleep(0.1)

    spent = ("SluicegateLimitNearlyReached", "SluicegateUnknownPrices")
    async with flowing(spend):
        await fires(gateway, *spent)
        async with flowing(kill):
            await fires(gateway, "SluicegateCrashLoop")
    await is_quiet(gateway, *spent, "SluicegateCrashLoop")
    async with asyncio.timeout(30):
        while not (await one())["ready"]:
            await asyncio.sleep(0.1)


async def test_every_question_has_an_answer_or_an_explanation(gateway: Watched) -> None:
    explained = questions.explained(questions.PAGE.read_text("utf-8"))
    known = {row.where for row in explained}
    unexplained: set[str] = {"nothing was looked at"}
    for _ in range(20):
        await odd_ones(gateway)
        await refused_ones(gateway)
        for _ in range(4):
            await good_ones(gateway)
            await asyncio.sleep(0.2)
        unexplained = await asyncio.to_thread(empty, gateway) - known
        if not unexplained:
            break
    assert not unexplained, sorted(unexplained)
    there = await asyncio.to_thread(gateway.prometheus.metrics)
    built = {row.where for row in explained if row.waiting and row.what in there}
    assert built == set(), f"the metric is there now: take the row out of {questions.PAGE.name}"


async def test_dollars_are_those_of_the_ledger(gateway: Watched) -> None:
    def compared() -> tuple[int, int]:
        with gateway.postgres.connect("ledger") as ledger:
            row = ledger.execute(
                "SELECT coalesce(sum(cost_micro), 0)::bigint FROM usage WHERE part_of IS NULL"
            ).fetchone()
        (counted,) = gateway.prometheus.query("sum(ai_cost_usd_total)")
        return round(counted.value * 1_000_000), int(str(row[0])) if row is not None else -1

    counted, ledger = -1, 0
    for _ in range(100):
        counted, ledger = await asyncio.to_thread(compared)
        if counted == ledger > 0:
            break
        await asyncio.sleep(0.1)
    assert counted == ledger > 0
