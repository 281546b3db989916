"""The dashboard of the platform: requests, errors, latency."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from k8s.observability.panels import Levels, Query, board, figure, lines, ranking, row

_GATEWAY = 'envoy_http_conn_manager_prefix="gateway"'
_ACTIVE = f"sum(envoy_http_downstream_rq_active{{{_GATEWAY}}})"


def platform() -> dashboard.Dashboard:
    """Whether all is well, at a glance; then where not."""
    made = board(
        "sluicegate-platform", "Sluicegate / Platform overview", "Requests, errors, latency of the whole gateway."
    )
    return _latency(_traffic(_glance(made)))


def _glance(made: dashboard.Dashboard) -> dashboard.Dashboard:
    errors = "sluicegate:http_errors:ratio_rate5m"
    return (
        made.with_row(row("At a glance"))
        .with_panel(figure("Requests", "What Envoy answers, per second.", "reqps", "sluicegate:http_requests:rate5m"))
        .with_panel(
            figure("Failing", "5xx and answers that broke off.", "percentunit", errors, levels=Levels(0.02, 0.10))
        )
        .with_panel(
            figure(
                "95th percentile",
                "From the first byte of a request that was let pass to the last of its answer.",
                "s",
                "sluicegate:request_seconds:p95_5m",
                levels=Levels(2, 5),
            )
        )
        .with_panel(
            figure(
                "In flight",
                "Requests that Envoy is serving.",
                "short",
                f"sum(envoy_http_downstream_rq_active{{{_GATEWAY}}})",
            )
        )
        .with_panel(
            figure("Dollars an hour", "What the last hour cost.", "currencyUSD", "sum(increase(ai_cost_usd_total[1h]))")
        )
        .with_panel(
            figure(
                "Workers ready",
                "Share of the processes that can decide or settle.",
                "percentunit",
                "avg(sluicegate_worker_ready)",
            )
        )
    )


def _traffic(made: dashboard.Dashboard) -> dashboard.Dashboard:
    answered = f"sum by (envoy_response_code_class) (rate(envoy_http_downstream_rq_xx{{{_GATEWAY}}}[$__rate_interval]))"
    return (
        made.with_row(row("Requests and errors"))
        .with_panel(
            lines(
                "Answers by class",
                "What clients got. 4xx are refusals and mistakes of callers, 5xx are failures.",
                "reqps",
                Query(answered, "{{envoy_response_code_class}}xx"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "How exchanges end",
                "`answered` is the upstream's answer, whole; `rejected` a policy's refusal.",
                "reqps",
                Query("sum by (result) (rate(ai_requests_total[$__rate_interval]))", "{{result}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Share that fails",
                "5xx and broken answers out of all. The line is where the alert is.",
                "percentunit",
                Query("sluicegate:http_errors:ratio_rate5m", "failing"),
                levels=Levels(red=0.10),
            )
        )
        .with_panel(
            ranking(
                "Failures by model",
                "Exchanges of the last 15 minutes that the upstream failed.",
                "short",
                Query(
                    'sum by (model, result) (increase(ai_requests_total{result=~"upstream_.*|timed_out"}[15m])) > 0',
                    "model, result",
                ),
                width=12,
            )
        )
        .with_panel(
            ranking(
                "Refusals by code",
                "What callers were told, in the last 15 minutes.",
                "short",
                Query(
                    'sum by (policy, code) (increase(sluicegate_decisions_total{verdict=~"reject|failed"}[15m])) > 0',
                    "policy, code",
                ),
                width=12,
            )
        )
    )


def _latency(made: dashboard.Dashboard) -> dashboard.Dashboard:
    first = "histogram_quantile(0.95, sum by (le, model) (rate(ai_time_to_first_token_seconds_bucket[$__rate_interval])))"
    return (
        made.with_row(row("Latency"))
        .with_panel(
            lines(
                "Whole requests",
                "Median, 95th and 99th percentile. The line is where the alert is.",
                "s",
                Query("sluicegate:request_seconds:p50_5m", "p50"),
                Query("sluicegate:request_seconds:p95_5m", "p95"),
                Query("sluicegate:request_seconds:p99_5m", "p99"),
                levels=Levels(red=5),
            )
        )
        .with_panel(
            lines(
                "95th percentile by model",
                "Slow models are slow upstreams, nearly always.",
                "s",
                Query("sluicegate:request_seconds_by_model:p95_5m", "{{model}}"),
            )
        )
        .with_panel(lines("Time to the first token, p95", "Of streamed answers.", "s", Query(first, "{{model}}")))
    )
