from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from k8s.observability.panels import Levels, Query, board, figure, from_ledger, grown, lines, ranking, row


def made(builder: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return found


def test_lines_have_a_query_each() -> None:
    panel = made(lines("T", "says", "s", Query("a", "one"), Query("b", "two"), stacked=True, levels=Levels(1, 2)))
    assert [(one["refId"], one["expr"], one["legendFormat"]) for one in panel["targets"]] == [
        ("A", "a", "one"),
        ("B", "b", "two"),
    ]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    assert custom["stacking"]["mode"] == "normal"
    assert custom["thresholdsStyle"]["mode"] == "line"
    assert [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 1, 2]


def test_a_figure_is_the_last_value() -> None:
    panel = made(figure("T", "says", "reqps", "a"))
    assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


def test_a_ranking_is_of_now_and_shows_its_labels() -> None:
    panel = made(ranking("T", "says", "short", Query("a", "x, y")))
    (target,) = panel["targets"]
    assert (target["instant"], target["format"]) == (True, "table")
    organized = next(one for one in panel["transformations"] if one["id"] == "organize")
    assert organized["options"]["indexByName"] == {"x": 0, "y": 1, "Value": 2}


def test_the_ledger_is_asked_in_sql() -> None:
    panel = made(from_ledger("T", "says", "SELECT\n  1", units=(("dollars", "currencyUSD"),)))
    (target,) = panel["targets"]
    assert (target["rawSql"], target["format"]) == ("SELECT 1", "table")
    assert target["datasource"]["type"] == "grafana-postgresql-datasource"
    assert panel["fieldConfig"]["overrides"][0]["matcher"]["options"] == "dollars"


def test_a_dashboard_lets_choose_its_sources_and_labels() -> None:
    found = made(board("u", "T", "says", ledger=True, labels=(("model", "ai_requests_total"),)).with_row(row("R")))
    chosen = {variable["name"]: variable["query"] for variable in found["templating"]["list"]}
    assert chosen == {
        "prometheus": "prometheus",
        "ledger": "grafana-postgresql-datasource",
        "model": "label_values(ai_requests_total, model)",
    }


def test_growth_counts_what_a_series_begins_with() -> None:
    assert grown("a", "x") == (
        "sum by (x) (increase(a[$__range]) + (min_over_time(a[$__range]) unless a offset $__range"
        " or 0 * min_over_time(a[$__range])))"
    )
