"""The dashboard of policies: what they say, how long they take, what fails."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from k8s.observability.panels import Levels, Query, board, figure, grown, lines, ranking, row

_SECONDS = 'rate(sluicegate_policy_seconds_bucket{policy=~"$policy"}[$__rate_interval])'


def verdicts() -> dashboard.Dashboard:
    """Verdicts, latencies, failures, and the thresholds that alert."""
    made = board(
        "sluicegate-policies",
        "Sluicegate / Policies",
        "What policies decide, how long they take, and what fails.",
        labels=(("policy", "sluicegate_policy_seconds_count"),),
    )
    return _thresholds(_times(_said(made)))


def _said(made: dashboard.Dashboard) -> dashboard.Dashboard:
    decided = "sum by (policy, verdict) (rate(sluicegate_decisions_total"
    said = 'sluicegate_decisions_total{policy=~"$policy|gateway",verdict!="allow"}'
    return (
        made.with_row(row("Verdicts"))
        .with_panel(
            lines(
                "Passed, refused, failed",
                "Of all exchanges that have ended.",
                "reqps",
                Query("sum by (verdict) (rate(sluicegate_decisions_total[$__rate_interval]))", "{{verdict}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Refusals by policy",
                "Also those of the gateway itself.",
                "reqps",
                Query(f'{decided}{{verdict="reject",policy=~"$policy|gateway"}}[$__rate_interval]))', "{{policy}}"),
            )
        )
        .with_panel(
            ranking(
                "Codes",
                "What callers were told, in the time that is shown.",
                "short",
                Query(f"{grown(said, 'policy', 'verdict', 'code')} > 0", "policy, verdict, code"),
            )
        )
        .with_panel(
            lines(
                "Failures",
                "A policy raised, or did not answer in time. `failed_open`: the exchange went on without it.",
                "reqps",
                Query(f'{decided}{{verdict=~"failed.*"}}[$__rate_interval]))', "{{policy}} {{verdict}}"),
                width=12,
            )
        )
        .with_panel(
            lines(
                "Shadow",
                "What would have been refused.",
                "reqps",
                Query(f'{decided}{{verdict=~".*_shadow"}}[$__rate_interval]))', "{{policy}} {{verdict}}"),
                width=12,
            )
        )
    )


def _times(made: dashboard.Dashboard) -> dashboard.Dashboard:
    settling = 'rate(sluicegate_policy_settle_seconds_bucket{policy=~"$policy"}[$__rate_interval])'
    mean = (
        'sum by (policy) (rate(sluicegate_policy_seconds_sum{policy=~"$policy"}[$__rate_interval]))'
        " / on () group_left () sum(rate(sluicegate_completions_total[$__rate_interval]))"
    )
    return (
        made.with_row(row("Time"))
        .with_panel(
            lines(
                "To decide, p99",
                "With what it waits for, such as Redis.",
                "s",
                Query(f"histogram_quantile(0.99, sum by (le, policy) ({_SECONDS}))", "{{policy}}"),
            )
        )
        .with_panel(
            lines(
                "To decide, mean for each exchange",
                "What each adds to a request.",
                "s",
                Query(mean, "{{policy}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "To settle, p99",
                "After the answer: nobody waits for it.",
                "s",
                Query(f"histogram_quantile(0.99, sum by (le, policy) ({settling}))", "{{policy}}"),
            )
        )
    )


_ALERTING: Final = (
    ("Failing", "Alert: > 10% for 5 minutes.", "percentunit", "sluicegate:http_errors:ratio_rate5m", Levels(0.02, 0.10)),
    ("p95", "Alert: > 5 s for 10 minutes.", "s", "sluicegate:request_seconds:p95_5m", Levels(2, 5)),
    (
        *("Refused by limits", "Alert: > 20%, and three times as many as before.", "percentunit"),
        *("sluicegate:limit_refusals:ratio_rate5m", Levels(0.1, 0.2)),
    ),
    (
        *("Beyond 80%", "Alert: any in 5 minutes.", "short"),
        *("sum(increase(sluicegate_limits_soft_total[5m]))", Levels(yellow=1)),
    ),
    (
        *("Redis failures", "Alert: > 30% for a minute.", "percentunit"),
        *("sluicegate:redis_failures:ratio_rate1m", Levels(0.01, 0.3)),
    ),
    ("Unsettled", "Alert: > 1% of an hour.", "percentunit", "sluicegate:unsettled:ratio1h", Levels(0.001, 0.01)),
    ("Uncounted", "Alert: > 1% of an hour.", "percentunit", "sluicegate:uncounted:ratio1h", Levels(0.001, 0.01)),
    ("Lost on the way", "Alert: any in 15 minutes.", "short", "sluicegate:lost:increase15m", Levels(red=1)),
    (
        *("Ledger differs", "What `ledger reconcile --tell` found last. Alert: any.", "short"),
        *("max(sluicegate_ledger_differences)", Levels(red=1)),
    ),
    (
        *("Fullest budget", "Of a tenant. Alert: > 80% for 5 minutes.", "percentunit"),
        *("max(sluicegate_limits_used_ratio)", Levels(yellow=0.8)),
    ),
    (
        *("Dead letters", "Of all sinks. Alert: any.", "short"),
        *("sum(max by (sink) (sluicegate_audit_sink_dead_letters))", Levels(yellow=1)),
    ),
    (
        *("Limits changed", "At run time, in 10 minutes. Alert (info): any.", "short"),
        *("sum(increase(sluicegate_limits_changes_total[10m]))", None),
    ),
)
"""Title, what it says, unit, expression and levels: those of the alerts."""


def _thresholds(made: dashboard.Dashboard) -> dashboard.Dashboard:
    made = made.with_row(row("What alerts"))
    for title, says, unit, expression, levels in _ALERTING:
        made = made.with_panel(figure(title, says, unit, expression, levels=levels, width=4))
    now = 'count by (alertname, severity, alertstate) (ALERTS{alertname=~"Sluicegate.*"})'
    labels = "alertname, severity, alertstate"
    return made.with_panel(ranking("Alerts now", "Pending and firing.", "short", Query(now, labels), width=24))
