from __future__ import annotations

import pytest

from tests.observability.questions import explained, filled, hurried, names, selectors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up == 0", ["up"]),
        ('sum by (model) (rate(ai_requests_total{result=~"a|b"}[5m]))', ['ai_requests_total{result=~"a|b"}']),
        ('x_ai_total{a="sluicegate_policy"}', []),
        (
            'sum(envoy_cluster_membership_total{envoy_cluster_name="sluicegate_policy"}) / sluicegate:a:b > 0',
            ['envoy_cluster_membership_total{envoy_cluster_name="sluicegate_policy"}', "sluicegate:a:b"],
        ),
        ('ai_a{m="}"} + ai_b', ['ai_a{m="}"}', "ai_b"]),
        ("sum by (envoy_response_code_class) (envoy_x)", ["envoy_x"]),
    ],
)
def test_the_series_of_an_expression(expression: str, expected: list[str]) -> None:
    assert selectors(expression) == expected


def test_the_names_of_metrics() -> None:
    assert names('ai_a{x="1"} / ai_a{x="2"} + up') == {"ai_a", "up"}


def test_grafanas_variables_are_filled_in() -> None:
    assert filled('rate(x{m=~"$model|gateway"}[$__rate_interval])') == 'rate(x{m=~".*|gateway"}[30s])'
    with pytest.raises(AssertionError):
        filled("x{a=~'$unknown'}")


def test_the_table_is_read() -> None:
    page = "| kind | where |\n|---|---|\n| waiting | sre: A | `a_total` | Because. |\n| quiet | B | `b` | So. |\n"
    rows = explained(page)
    assert [(row.waiting, row.where, row.what) for row in rows] == [(True, "sre: A", "a_total"), (False, "B", "b")]


def test_rules_are_hurried() -> None:
    rule = {"alert": "A", "expr": "a[1h] offset 15m > b[5m] offset 6d23h30m - c[15m]", "for": "5m"}
    (group,) = hurried([{"name": "g", "rules": [rule, {"alert": "B", "expr": "b", "for": "0m"}]}])["groups"]
    assert [one["expr"] for one in group["rules"]] == ["a[8s] offset 4s > b[4s] offset 6d23h30m - c[4s]", "b"]
    assert [one["for"] for one in group["rules"]] == ["1s", "0m"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("max by (a) (x_age_seconds) > 6 * 3600", "max by (a) (x_age_seconds) > 4"),
        ("max by (a) (x_behind_seconds) > 300", "max by (a) (x_behind_seconds) > 4"),
        ("(x_ends_seconds - time()) / 86400 < 14", "(x_ends_seconds - time()) / 86400 < 14"),
        ("x:request_seconds:p95_5m > 5", "x:request_seconds:p95_5m > 5"),
    ],
)
def test_ages_are_hurried(expression: str, expected: str) -> None:
    (group,) = hurried([{"name": "g", "rules": [{"alert": "A", "expr": expression}]}])["groups"]
    assert [one["expr"] for one in group["rules"]] == [expected]
