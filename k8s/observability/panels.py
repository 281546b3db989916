"""What dashboards are made of: panels with one look, over Grafana's SDK. Pure.

A panel is 24 columns wide at most; heights are in Grafana's units of 30 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models import text as text_models

PanelBuilder: TypeAlias = Builder[models.Panel]

METRICS: Final = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
LEDGER: Final = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="${ledger}")
GREEN: Final = "green"
YELLOW: Final = "#EAB839"
RED: Final = "red"
_LETTERS: Final = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus. `legend`: what its series are called, labels as `{{label}}`."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Levels:
    """From which value on something is yellow, and red. They are those of the alerts."""

    yellow: float | None = None
    red: float | None = None

    def build(self) -> dashboard.ThresholdsConfig:
        """In Grafana's words."""
        steps = [models.Threshold(value=None, color=GREEN)]
        if self.yellow is not None:
            steps.append(models.Threshold(value=self.yellow, color=YELLOW))
        if self.red is not None:
            steps.append(models.Threshold(value=self.red, color=RED))
        return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def grown(selector: str, *labels: str) -> str:
    """By how much counters have grown in the time that is shown.

    `increase` alone misses what a series begins with, which for a new tenant's first exchange is all of it.
    """
    first = f"min_over_time({selector}[$__range])"
    each = f"increase({selector}[$__range]) + ({first} unless {selector} offset $__range or 0 * {first})"
    return f"sum by ({', '.join(labels)}) ({each})" if labels else f"sum({each})"


class _Sql(Builder[Dataquery]):
    """The SDK has no query of SQL."""

    def __init__(self, statement: str) -> None:
        self._statement = statement

    def build(self) -> Dataquery:
        data = {"refId": "A", "format": "table", "rawQuery": True, "editorMode": "code", "rawSql": self._statement}
        return UnknownDataquery({**data, "datasource": LEDGER.to_json()})


def lines(
    title: str,
    says: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    levels: Levels | None = None,
) -> PanelBuilder:
    """Values over time. `says`: what one reads from it; `unit`: Grafana's name of it."""
    legend = (
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(METRICS)
        .unit(unit)
        .min(0)
        .span(width)
        .height(8)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if levels is not None:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.LINE)
        panel = panel.thresholds(levels.build()).thresholds_style(style)
    for letter, query in zip(_LETTERS, queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expression).legend_format(query.legend).range()
        panel = panel.with_target(asked.datasource(METRICS))
    return panel


def figure(
    title: str, says: str, unit: str, expression: str, *, levels: Levels | None = None, width: int = 4, height: int = 4
) -> PanelBuilder:
    """One number, as it is now, over how it was."""
    asked = prometheus.Dataquery().ref_id("A").expr(expression).range().datasource(METRICS)
    return (
        stat.Panel()
        .title(title)
        .description(says)
        .datasource(METRICS)
        .unit(unit)
        .span(width)
        .height(height)
        .thresholds((levels or Levels()).build())
        .graph_mode(looks.BigValueGraphMode.AREA)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("-")
        .with_target(asked)
    )


def ranking(title: str, says: str, unit: str, query: Query, *, width: int = 8) -> PanelBuilder:
    """A table of the series as they are now, the largest first. `query.legend`: the labels to show, with commas."""
    asked = (
        prometheus.Dataquery()
        .ref_id("A")
        .expr(query.expression)
        .format(prometheus_models.PromQueryFormat.TABLE)
        .instant()
        .datasource(METRICS)
    )
    shown = [label.strip() for label in query.legend.split(",")]
    order = {label: index for index, label in enumerate((*shown, "Value"))}
    arranged = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": {}}
    )
    sorted_by = models.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": "Value", "desc": True}]})
    return (
        table.Panel()
        .title(title)
        .description(says)
        .datasource(METRICS)
        .span(width)
        .height(8)
        .no_value("-")
        .override_by_name("Value", [models.DynamicConfigValue(id_val="unit", value=unit)])
        .with_transformation(arranged)
        .with_transformation(sorted_by)
        .with_target(asked)
    )


def from_ledger(
    title: str, says: str, statement: str, *, units: Sequence[tuple[str, str]] = (), width: int = 12
) -> PanelBuilder:
    """A table of what the ledger has. `units`: Grafana's names of them, by column."""
    panel = (
        table.Panel().title(title).description(says).datasource(LEDGER).span(width).height(9).no_value("-")
    ).with_target(_Sql(" ".join(statement.split())))
    for column, unit in units:
        panel = panel.override_by_name(column, [models.DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def words(title: str, content: str, *, width: int = 24, height: int = 4) -> PanelBuilder:
    """Markdown."""
    return (
        text.Panel()
        .title(title)
        .description("How to read this dashboard.")
        .mode(text_models.TextMode.MARKDOWN)
        .content(content)
        .span(width)
        .height(height)
    )


def board(
    uid: str, title: str, says: str, *, ledger: bool = False, labels: Sequence[tuple[str, str]] = ()
) -> dashboard.Dashboard:
    """An empty dashboard.

    Args:
        ledger: whether it asks the ledger as well.
        labels: a variable for each of these labels: the label, and a metric that has it.
    """
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["sluicegate"])
        .editable()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Sluicegate")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["sluicegate"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    if ledger:
        made = made.with_variable(
            dashboard.DatasourceVariable("ledger").label("Ledger (PostgreSQL)").type("grafana-postgresql-datasource")
        )
    for label, metric in labels:
        made = made.with_variable(
            dashboard.QueryVariable(label)
            .label(label)
            .datasource(METRICS)
            .query(f"label_values({metric}, {label})")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
    return made


def row(title: str) -> dashboard.Row:
    """A headline over the panels that follow."""
    return dashboard.Row(title)
