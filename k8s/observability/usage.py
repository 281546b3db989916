"""The dashboard of what models are used for, and what they cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from k8s.observability.panels import Levels, Query, board, figure, grown, lines, ranking, row

_CHOSEN = 'model=~"$model",tenant_id=~"$tenant_id"'


def usage() -> dashboard.Dashboard:
    """Tokens, dollars, models."""
    made = board(
        "sluicegate-usage",
        "Sluicegate / LLM usage and cost",
        "Tokens and dollars by model and kind. Exact bills come from the ledger: `sluicegate cost report`.",
        labels=(("tenant_id", "ai_requests_total"), ("model", "ai_requests_total")),
    )
    return _streams(_tokens(_dearest(_cost(made))))


def _cost(made: dashboard.Dashboard) -> dashboard.Dashboard:
    spent = f"ai_cost_usd_total{{{_CHOSEN}}}"
    return (
        made.with_row(row("Dollars"))
        .with_panel(figure("Spent", "In the time that is shown.", "currencyUSD", grown(spent), width=6))
        .with_panel(
            figure(
                "A day at this rate",
                "The last hour, 24 times.",
                "currencyUSD",
                f"24 * sum(increase(ai_cost_usd_total{{{_CHOSEN}}}[1h]))",
                width=6,
            )
        )
        .with_panel(
            figure(
                "Tokens",
                "In the time that is shown.",
                "short",
                grown(f"ai_tokens_total{{{_CHOSEN}}}"),
                width=6,
            )
        )
        .with_panel(
            figure(
                "Without a price",
                "Exchanges of the last hour that no price is known for, or only the fallback.",
                "short",
                "sum(increase(ai_unpriced_total[1h]))",
                width=6,
                levels=Levels(yellow=1),
            )
        )
    )


def _dearest(made: dashboard.Dashboard) -> dashboard.Dashboard:
    spent = f"ai_cost_usd_total{{{_CHOSEN}}}"
    rate = f"rate(ai_cost_usd_total{{{_CHOSEN}}}[$__rate_interval])"
    return (
        made.with_panel(
            lines(
                "Dollars an hour by model",
                "At the rate of each moment.",
                "currencyUSD",
                Query(f"3600 * sum by (model) ({rate})", "{{model}}"),
                stacked=True,
                width=12,
            )
        )
        .with_panel(
            ranking(
                "Dearest models",
                "In the time that is shown.",
                "currencyUSD",
                Query(grown(spent, "model"), "model"),
                width=6,
            )
        )
        .with_panel(
            ranking(
                "By tag",
                "By the tags that the policy `cost` is configured with.",
                "currencyUSD",
                Query(grown("ai_cost_by_tag_usd_total", "tag", "value"), "tag, value"),
                width=6,
            )
        )
    )


def _tokens(made: dashboard.Dashboard) -> dashboard.Dashboard:
    tokens = f"rate(ai_tokens_total{{{_CHOSEN}}}[$__rate_interval])"
    cached = f'sum(rate(ai_tokens_total{{type="cached_input",{_CHOSEN}}}[$__rate_interval]))'
    read = f'sum(rate(ai_tokens_total{{type=~"input|cached_input",{_CHOSEN}}}[$__rate_interval]))'
    return (
        made.with_row(row("Tokens"))
        .with_panel(
            lines(
                "Tokens a second by kind",
                "Each token is of one kind.",
                "short",
                Query(f"sum by (type) ({tokens})", "{{type}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Tokens a second by model",
                "All kinds together.",
                "short",
                Query(f"sum by (model) ({tokens})", "{{model}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Read from the provider's cache",
                "Share of the input.",
                "percentunit",
                Query(f"{cached} / ({read} > 0)", "cached"),
            )
        )
    )


def _streams(made: dashboard.Dashboard) -> dashboard.Dashboard:
    requests = f"sum by (model) (rate(ai_requests_total{{{_CHOSEN}}}[$__rate_interval]))"
    between = "sum by (le, model) (rate(ai_time_between_tokens_seconds_bucket[$__rate_interval]))"
    first = "sum by (le, model) (rate(ai_time_to_first_token_seconds_bucket[$__rate_interval]))"
    return (
        made.with_row(row("Models"))
        .with_panel(lines("Requests by model", "Also those that were refused.", "reqps", Query(requests, "{{model}}")))
        .with_panel(
            lines(
                "Time to the first token, median",
                "Of streamed answers.",
                "s",
                Query(f"histogram_quantile(0.5, {first})", "{{model}}"),
            )
        )
        .with_panel(
            lines(
                "Time between tokens, median",
                "Of streamed answers: how fast they are read.",
                "s",
                Query(f"histogram_quantile(0.5, {between})", "{{model}}"),
            )
        )
    )
