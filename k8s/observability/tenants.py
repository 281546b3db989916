"""The dashboard for who helps callers: tenants, users, budgets. Users are in no metric: they come from the ledger."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from k8s.observability.ledger_questions import DEPARTMENTS, MONTH, REFUSALS, USERS
from k8s.observability.panels import Levels, Query, board, figure, from_ledger, grown, lines, ranking, row, words

_TENANT = 'tenant_id=~"$tenant_id"'
_READ: Final = (
    "Metrics know tenants and models. **Users, departments and applications are in no label**: there are too many of "
    "them. They come from the ledger: add a PostgreSQL data source for the database that `sinks: [{kind: ledger}]` of "
    "the policy `audit` writes to, with a role that may only read, and choose it above. An exchange is there some "
    "seconds after its end. `sluicegate audit explain REQUEST_ID` tells why one request was refused, `sluicegate "
    "limits show TENANT` how its limits stand."
)


def tenants() -> dashboard.Dashboard:
    """Who uses how much, and who is refused."""
    made = board(
        "sluicegate-tenants",
        "Sluicegate / Tenants, users and budgets",
        "Who uses how much, who is refused and why. Users come from the ledger.",
        ledger=True,
        labels=(("tenant_id", "ai_requests_total"),),
    )
    made = made.with_panel(words("Where this comes from", _READ, height=4))
    return _users(_budgets(_by_tenant(made)))


def _by_tenant(made: dashboard.Dashboard) -> dashboard.Dashboard:
    spent = grown(f"ai_cost_usd_total{{{_TENANT}}}", "tenant_id")
    refused = f'sum by (tenant_id) (rate(ai_requests_total{{result="rejected",{_TENANT}}}[$__rate_interval]))'
    return (
        made.with_row(row("Tenants"))
        .with_panel(
            lines(
                "Requests by tenant",
                "`other`: those without a series of their own.",
                "reqps",
                Query(f"sum by (tenant_id) (rate(ai_requests_total{{{_TENANT}}}[$__rate_interval]))", "{{tenant_id}}"),
            )
        )
        .with_panel(
            lines("Refused by tenant", "By any policy, for any reason.", "reqps", Query(refused, "{{tenant_id}}"))
        )
        .with_panel(ranking("Dollars by tenant", "In the time that is shown.", "currencyUSD", Query(spent, "tenant_id")))
    )


def _budgets(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(row("Limits and budgets"))
        .with_panel(
            figure(
                "Beyond 80%",
                "Requests of the last 5 minutes that passed above the soft share of a limit.",
                "short",
                "sum(increase(sluicegate_limits_soft_total[5m]))",
                levels=Levels(yellow=1),
                height=8,
            )
        )
        .with_panel(
            figure(
                "Refused by limits",
                "Share of all exchanges.",
                "percentunit",
                "sluicegate:limit_refusals:ratio_rate5m",
                levels=Levels(yellow=0.2),
                height=8,
            )
        )
        .with_panel(
            lines(
                "Limits refuse",
                "By the code that callers get.",
                "reqps",
                Query(
                    "sum by (code) (rate(sluicegate_decisions_total"
                    '{policy="limits",verdict="reject"}[$__rate_interval]))',
                    "{{code}}",
                ),
            )
        )
        .with_panel(
            ranking(
                "Used of budgets",
                "What is used and settled of each budget of a tenant; `*`: of all tenants together. Alert: > 80%.",
                "percentunit",
                Query(f"max by (tenant_id, kind) (sluicegate_limits_used_ratio{{{_TENANT}}})", "tenant_id, kind"),
            )
        )
    )


def _users(made: dashboard.Dashboard) -> dashboard.Dashboard:
    units = (("dollars", "currencyUSD"), ("tokens", "short"))
    who = "Who used most, in the time that is shown. Ids: ask Entra ID whose they are."
    month = "By tenant, from the first of the month (UTC), whatever time is shown."
    return (
        made.with_row(row("From the ledger"))
        .with_panel(from_ledger("Users", who, USERS, units=units))
        .with_panel(from_ledger("Tenants and departments", "The names behind the ids above.", DEPARTMENTS, units=units))
        .with_panel(from_ledger("Refusals by user", "Who is refused what: where a caller asks why.", REFUSALS))
        .with_panel(from_ledger("Used this month", month, MONTH, units=units))
    )
