"""What dashboards ask the ledger, in PostgreSQL's SQL with Grafana's macros and variables.

A row of `usage` whose `part_of` is set is a part of another exchange, and in that one's sums already. Money is in
micro-dollars there, and in dollars here.
"""

from __future__ import annotations

from typing import Final

USERS: Final = """
    SELECT coalesce(nullif(tenant, ''), tenant_id) AS tenant, user_id AS "user", department,
           count(*) AS requests, count(*) FILTER (WHERE decision = 'reject') AS refused,
           sum(total) AS tokens, round(coalesce(sum(cost_micro), 0) / 1e6, 6) AS dollars
    FROM usage
    WHERE part_of IS NULL AND $__timeFilter(at) AND tenant_id ~ '^(${tenant_id:regex})$'
    GROUP BY 1, 2, 3 ORDER BY dollars DESC, requests DESC LIMIT 50
"""
DEPARTMENTS: Final = """
    SELECT coalesce(nullif(tenant, ''), tenant_id) AS tenant, tenant_id, department,
           count(DISTINCT user_id) AS users, sum(total) AS tokens,
           round(coalesce(sum(cost_micro), 0) / 1e6, 6) AS dollars
    FROM usage
    WHERE part_of IS NULL AND $__timeFilter(at) AND tenant_id ~ '^(${tenant_id:regex})$'
    GROUP BY 1, 2, 3 ORDER BY dollars DESC LIMIT 50
"""
REFUSALS: Final = """
    SELECT coalesce(nullif(tenant, ''), tenant_id) AS tenant, user_id AS "user", reason, policy,
           count(*) AS times, max(at) AS last
    FROM usage
    WHERE part_of IS NULL AND $__timeFilter(at) AND tenant_id ~ '^(${tenant_id:regex})$' AND decision = 'reject'
    GROUP BY 1, 2, 3, 4 ORDER BY times DESC, last DESC LIMIT 50
"""
MONTH: Final = """
    SELECT coalesce(nullif(tenant, ''), tenant_id) AS tenant, sum(weighted) AS tokens,
           round(coalesce(sum(cost_micro), 0) / 1e6, 6) AS dollars
    FROM usage
    WHERE part_of IS NULL AND tenant_id ~ '^(${tenant_id:regex})$'
          AND at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
    GROUP BY 1 ORDER BY dollars DESC LIMIT 50
"""
