"""The dashboard for who runs it: transport, Redis, identity, journal, followers."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from k8s.observability.panels import Levels, Query, board, figure, lines, row


def reliability() -> dashboard.Dashboard:
    """What the gateway stands on."""
    made = board(
        "sluicegate-sre", "Sluicegate / SRE", "Processes and transport, Redis, identity, the journal and what follows it."
    )
    return _followers(_journal(_identity(_redis(_upstreams(_transport(_workers(_processes(made))))))))


def _rate(metric: str) -> str:
    return f"sum(rate({metric}[$__rate_interval]))"


def _processes(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(row("Processes"))
        .with_panel(
            figure("Policy servers up", "Out of those that Prometheus knows.", "percentunit", 'avg(up{job="sluicegate"})')
        )
        .with_panel(
            figure("Envoys up", "Out of those that Prometheus knows.", "percentunit", 'avg(up{job="sluicegate-envoy"})')
        )
        .with_panel(
            figure(
                "Starts in 10 minutes",
                "Of the worker that started most. Alert: > 3.",
                "short",
                "max(increase(sluicegate_worker_starts_total[10m]))",
                levels=Levels(2, 4),
            )
        )
        .with_panel(
            figure(
                "First certificate ends in",
                "Of those that Envoy uses. Alert: < 14 days.",
                "d",
                "min(envoy_server_days_until_first_cert_expiring < 100000)",
            )
        )
        .with_panel(
            figure(
                "Policy server's certificate ends in",
                "Alert: < 14 days.",
                "d",
                "min(sluicegate_tls_certificate_ends_seconds - time()) / 86400",
            )
        )
        .with_panel(
            figure(
                "Log lines lost",
                "The disk is full, or nobody reads them.",
                "short",
                "sum(increase(sluicegate_log_lines_lost_total[1h]))",
                levels=Levels(yellow=1),
            )
        )
    )


def _workers(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_panel(
            lines(
                "Memory of workers",
                "Each of them.",
                "bytes",
                Query("sluicegate_worker_memory_bytes", "{{instance}} {{role}} {{worker}}"),
            )
        )
        .with_panel(
            lines(
                "Ready",
                "1: it can decide, or settle.",
                "short",
                Query("sluicegate_worker_ready", "{{instance}} {{role}} {{worker}}"),
            )
        )
        .with_panel(
            lines(
                "Starts",
                "Of each worker.",
                "short",
                Query("sluicegate_worker_starts_total", "{{instance}} {{role}} {{worker}}"),
            )
        )
    )


def _transport(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(row("Transport"))
        .with_panel(
            lines(
                "Streams",
                "gRPC streams: one for each exchange.",
                "ops",
                Query(_rate("sluicegate_streams_total"), "opened"),
                Query("sum(sluicegate_streams_open)", "open now"),
                width=6,
            )
        )
        .with_panel(
            lines(
                "Connections of Envoy",
                "Those that are there.",
                "short",
                Query("sum(sluicegate_connections_open)", "open"),
                width=6,
            )
        )
        .with_panel(
            lines(
                "Broken rules",
                "By a peer that is not the Envoy that was rendered for.",
                "ops",
                Query("sum by (rule) (rate(sluicegate_violations_total[$__rate_interval]))", "{{rule}}"),
                width=6,
            )
        )
        .with_panel(
            lines(
                "Policy cluster, as Envoy sees it",
                "Workers that Envoy asks.",
                "short",
                Query('sum(envoy_cluster_membership_healthy{envoy_cluster_name="sluicegate_policy"})', "healthy"),
                Query('sum(envoy_cluster_membership_total{envoy_cluster_name="sluicegate_policy"})', "all"),
                width=6,
            )
        )
    )


def _upstreams(made: dashboard.Dashboard) -> dashboard.Dashboard:
    failed = 'rate(envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name=~"upstream_.*|agent_.*"}[$__rate_interval])'
    return made.with_panel(
        lines(
            "Upstreams: time of Envoy, p95",
            "Milliseconds from the request to the end of the answer.",
            "ms",
            Query(
                "histogram_quantile(0.95, sum by (le, envoy_cluster_name) (rate(envoy_cluster_upstream_rq_time_bucket"
                '{envoy_cluster_name=~"upstream_.*|agent_.*"}[$__rate_interval])))',
                "{{envoy_cluster_name}}",
            ),
            width=12,
        )
    ).with_panel(
        lines(
            "Upstreams: connections that failed",
            "Nobody accepts them.",
            "ops",
            Query(f"sum by (envoy_cluster_name) ({failed})", "{{envoy_cluster_name}}"),
            width=12,
        )
    )


def _redis(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(row("Redis"))
        .with_panel(
            lines(
                "Calls",
                "And the writes that they left in.",
                "ops",
                Query(_rate("sluicegate_limits_redis_calls_total"), "calls"),
                Query(_rate("sluicegate_limits_redis_batches_total"), "batches"),
            )
        )
        .with_panel(
            lines(
                "Failures",
                "Calls that were not answered, and connections that were made again.",
                "ops",
                Query(_rate("sluicegate_limits_redis_failures_total"), "failures"),
                Query(_rate("sluicegate_limits_redis_timeouts_total"), "timeouts"),
                Query(_rate("sluicegate_limits_redis_reconnects_total"), "reconnects"),
            )
        )
        .with_panel(
            lines(
                "Without Redis",
                "Exchanges that each worker counted for itself, and those that were refused.",
                "ops",
                Query(_rate("sluicegate_limits_decided_locally_total"), "counted locally"),
                Query(_rate("sluicegate_limits_closed_total"), "closed"),
            )
        )
        .with_panel(
            lines(
                "Reservations",
                "All that are admitted are settled, a moment later.",
                "ops",
                Query(_rate("sluicegate_limits_admitted_total"), "admitted"),
                Query(_rate("sluicegate_limits_settled_total"), "settled"),
                width=12,
            )
        )
        .with_panel(
            lines(
                "Reservations that ended otherwise",
                "Leases that ran out, and settlements that were left out.",
                "ops",
                Query(_rate("sluicegate_limits_leases_expired_total"), "charged as made"),
                Query(_rate("sluicegate_limits_leases_returned_total"), "returned"),
                Query(_rate("sluicegate_limits_settlements_dropped_total"), "dropped"),
                width=12,
            )
        )
    )


def _identity(made: dashboard.Dashboard) -> dashboard.Dashboard:
    refused = 'sum by (code) (rate(sluicegate_decisions_total{policy="entra",verdict="reject"}[$__rate_interval]))'
    slow = (
        'histogram_quantile(0.99, sum by (le) (rate(sluicegate_policy_seconds_bucket{policy="entra"}[$__rate_interval])))'
    )
    return (
        made.with_row(row("Identity"))
        .with_panel(
            lines("Refused tokens", "By code. identity_provider_unavailable: no keys.", "ops", Query(refused, "{{code}}"))
        )
        .with_panel(
            lines("Time to know who calls, p99", "Seconds where keys must be fetched.", "s", Query(slow, "entra"))
        )
        .with_panel(
            lines(
                "Age of keys",
                "Alert: > 6 h. They are fetched every hour.",
                "s",
                Query("max by (instance) (sluicegate_entra_keys_age_seconds)", "{{instance}}"),
                levels=Levels(red=6 * 3_600),
            )
        )
    )


def _journal(made: dashboard.Dashboard) -> dashboard.Dashboard:
    waiting = "sum(sluicegate_audit_appended_total) - sum(sluicegate_audit_synced_total)"
    return (
        made.with_row(row("Journal"))
        .with_panel(
            lines(
                "Records",
                "Appended, and on the disk.",
                "ops",
                Query(_rate("sluicegate_audit_appended_total"), "appended"),
                Query(_rate("sluicegate_audit_synced_total"), "synced"),
                width=6,
            )
        )
        .with_panel(
            lines("Waiting", "Records that are not on the disk yet.", "short", Query(waiting, "waiting"), width=6)
        )
        .with_panel(
            lines(
                "Waiting, in bytes",
                "Of all processes together. Each may have `journal.queue_bytes`.",
                "bytes",
                Query("max by (instance) (sluicegate_audit_queued_bytes)", "{{instance}}"),
                width=6,
            )
        )
        .with_panel(
            lines(
                "Trouble",
                "Writes that failed, requests that were refused for it, records that were dropped.",
                "ops",
                Query(_rate("sluicegate_audit_failures_total"), "failures"),
                Query(_rate("sluicegate_audit_refused_total"), "refused"),
                Query(_rate("sluicegate_audit_dropped_total"), "dropped"),
                Query(_rate("sluicegate_audit_unrecorded_total"), "unrecorded"),
                width=6,
            )
        )
    )


def _followers(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(row("Followers"))
        .with_panel(
            lines(
                "Behind",
                "How old the oldest record is that a sink has not got. Alert: > 300 s.",
                "s",
                Query("max by (sink) (sluicegate_audit_sink_behind_seconds)", "{{sink}}"),
                levels=Levels(red=300),
                width=10,
            )
        )
        .with_panel(
            lines(
                "Dead letters",
                "Records that a sink refused for good. Alert: any.",
                "short",
                Query("max by (sink) (sluicegate_audit_sink_dead_letters)", "{{sink}}"),
                width=10,
            )
        )
        .with_panel(
            figure(
                "Reconciled",
                "How long ago `sluicegate ledger reconcile --tell` was run last.",
                "s",
                "time() - max(sluicegate_ledger_reconciled_seconds)",
                height=8,
            )
        )
    )
