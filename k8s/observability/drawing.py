"""A dashboard as a picture, where there is no Grafana: its own layout and queries, drawn with matplotlib.

What is drawn is what the data sources answered, nothing else. Colours and fonts are not Grafana's.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from k8s.observability.units import written

mpl.use("Agg")
_COLUMNS: Final = 24
_COLUMN: Final = 0.72
_UNIT: Final = 0.36
"""Inches of a column, and of a unit of height."""
_MARGIN: Final = 0.35
_INK: Final = "#24292e"
_FAINT: Final = "#6a737d"
_EDGE: Final = "#d5d9de"
_COLOURS: Final = ("#3274d9", "#56a64b", "#f2a900", "#e02f44", "#8f3bb8", "#ff780a", "#37a2a9", "#7c2ea3", "#b0b7bf")
_GRAFANAS: Final = {"green": "#56a64b", "red": "#e02f44"}
_MOST_ROWS: Final = 9


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its labels, and its points (seconds since the epoch, value)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Source(Protocol):
    """Who answers a dashboard's queries, with its variables filled in."""

    def lines(self, expression: str) -> Sequence[Line]: ...

    def now(self, expression: str) -> Sequence[Line]: ...

    def rows(self, statement: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]: ...


def draw(board: Mapping[str, Any], source: Source) -> Figure:
    """The picture of a dashboard (its JSON)."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, tall = _COLUMNS * _COLUMN + 2 * _MARGIN, height * _UNIT + 2 * _MARGIN + 0.5
    figure = Figure(figsize=(width, tall), dpi=80, facecolor="#f4f5f7")
    figure.text(_MARGIN / width, 1 - 0.42 / tall, board["title"], fontsize=15, weight="bold", color=_INK)
    figure.text(
        1 - _MARGIN / width, 1 - 0.42 / tall, "drawn by matplotlib, not by Grafana", fontsize=8, color=_FAINT, ha="right"
    )
    for panel in board["panels"]:
        place = panel["gridPos"]
        left = (_MARGIN + place["x"] * _COLUMN) / width
        bottom = 1 - (_MARGIN + 0.5 + (place["y"] + place["h"]) * _UNIT) / tall
        _panel(figure, panel, (left, bottom, place["w"] * _COLUMN / width, place["h"] * _UNIT / tall), source)
    return figure


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    """What a series is called: the pattern with `{{label}}` filled in, or all labels."""
    if not pattern:
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")
    for name in [part.partition("}}")[0] for part in pattern.split("{{")[1:]]:
        pattern = pattern.replace(f"{{{{{name}}}}}", labels.get(name, ""))
    return pattern


def colour(value: float, thresholds: Mapping[str, Any]) -> str:
    """The colour of the last level that a value has reached."""
    reached = [step for step in thresholds["steps"] if step["value"] is None or value >= step["value"]]
    return _GRAFANAS.get(reached[-1]["color"], reached[-1]["color"]) if reached else _INK


def _panel(figure: Figure, panel: Mapping[str, Any], box: tuple[float, float, float, float], source: Source) -> None:
    left, bottom, wide, tall = box
    if panel["type"] == "row":
        figure.text(left, bottom + tall * 0.3, f"▾ {panel['title']}", fontsize=10, weight="bold", color=_INK)
        return
    inch = figure.get_size_inches()
    gap_x, gap_y = 0.05 / inch[0], 0.05 / inch[1]
    card = FancyBboxPatch(
        (left + gap_x, bottom + gap_y),
        *(wide - 2 * gap_x, tall - 2 * gap_y),
        boxstyle="square,pad=0",
        facecolor="white",
        edgecolor=_EDGE,
        linewidth=0.8,
        transform=figure.transFigure,
        zorder=-1,
    )
    figure.add_artist(card)
    head = 0.26 / inch[1]
    figure.text(left + 3 * gap_x, bottom + tall - head, panel["title"], fontsize=8.5, weight="bold", color=_INK)
    inside = (left + 3 * gap_x, bottom + 3 * gap_y, wide - 6 * gap_x, tall - head - 5 * gap_y)
    match panel["type"]:
        case "timeseries":
            # Room for the labels of both axes and for the legend.
            room = 0.62 / inch[0], 0.5 / inch[1]
            place = (inside[0] + room[0], inside[1] + room[1], inside[2] - room[0], inside[3] - room[1])
            _lines(figure.add_axes(place), panel, source)
        case "stat":
            _stat(figure.add_axes(inside), panel, source)
        case "table":
            _table(figure.add_axes(inside), panel, source)
        case "text":
            text = "\n".join(textwrap.wrap(panel["options"]["content"].replace("**", ""), 250))
            figure.text(inside[0], inside[1] + inside[3] * 0.95, text, fontsize=8, color=_INK, va="top", linespacing=1.6)


def _lines(axes: Axes, panel: Mapping[str, Any], source: Source) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = [
        (legend(target.get("legendFormat", ""), line.labels), line.points)
        for target in panel["targets"]
        for line in source.lines(target["expr"])
    ]
    drawn = [(name, [(t, v) for t, v in points if math.isfinite(v)]) for name, points in found]
    drawn = [(name, points) for name, points in drawn if points]
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    if stacked and drawn:
        times = sorted({t for _, points in drawn for t, _ in points})
        at = [dict(points) for _, points in drawn]
        moments = [datetime.fromtimestamp(t, UTC) for t in times]
        heights = [[one.get(t, 0.0) for t in times] for one in at]
        # The stubs of matplotlib do not know that dates can be drawn.
        filled: Any = axes.stackplot
        filled(moments, heights, labels=[name for name, _ in drawn], colors=_COLOURS, alpha=0.75, linewidth=0)
    else:
        for index, (name, points) in enumerate(drawn):
            moments = [datetime.fromtimestamp(t, UTC) for t, _ in points]
            plotted: Any = axes.plot
            shade = _COLOURS[index % len(_COLOURS)]
            plotted(moments, [v for _, v in points], label=name, color=shade, linewidth=1.2)
    _dressed(axes, defaults, bool(drawn))


def _levels(axes: Axes, defaults: Mapping[str, Any]) -> None:
    if defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") != "line":
        return
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color=_GRAFANAS.get(step["color"], step["color"]), linewidth=1, linestyle="--")


def _dressed(axes: Axes, defaults: Mapping[str, Any], drawn: bool) -> None:
    axes.tick_params(labelsize=6.5, colors=_FAINT, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_EDGE)
    if not drawn:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", fontsize=9, color=_FAINT)
        return
    _levels(axes, defaults)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#eceef1", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: written(value, defaults.get("unit", "short")))
    dated: Any = DateFormatter
    axes.xaxis.set_major_formatter(dated("%H:%M:%S"))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    names = axes.get_legend_handles_labels()[1]
    if not names:
        # None of them has a name, which matplotlib takes for one to leave out.
        return
    columns = max(1, min(4, 90 // (max(map(len, names), default=1) + 8)))
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.06, -0.1), ncols=columns, fontsize=6, frameon=False, labelcolor=_INK,
        handlelength=1, columnspacing=1, borderpad=0.1,
    )  # fmt: skip


def _stat(axes: Axes, panel: Mapping[str, Any], source: Source) -> None:
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    found = source.lines(panel["targets"][0]["expr"])
    points = [(t, v) for t, v in found[0].points if math.isfinite(v)] if found else []
    shade, text = _FAINT, defaults.get("noValue", "-")
    if points:
        shade = colour(points[-1][1], defaults["thresholds"])
        text = written(points[-1][1], defaults.get("unit", "short"))
        highest = max(v for _, v in points) or 1.0
        # In the lower third.
        axes.fill_between(
            [t for t, _ in points], [v / highest / 3 for _, v in points], color=shade, alpha=0.18, linewidth=0
        )
        axes.set_xlim(points[0][0], points[-1][0])
    axes.set_ylim(0, 1)
    axes.text(
        0.5, 0.58, text, transform=axes.transAxes, ha="center", va="center", fontsize=19, color=shade, weight="bold"
    )


def _table(axes: Axes, panel: Mapping[str, Any], source: Source) -> None:
    axes.axis("off")
    target = panel["targets"][0]
    units = {
        one["matcher"]["options"]: each["value"]
        for one in panel["fieldConfig"]["overrides"]
        for each in one["properties"]
        if each["id"] == "unit"
    }
    if "rawSql" in target:
        columns, rows = source.rows(target["rawSql"])
    else:
        order = next(one["options"]["indexByName"] for one in panel["transformations"] if one["id"] == "organize")
        columns = sorted(order, key=lambda name: int(order[name]))
        found = sorted(source.now(target["expr"]), key=lambda line: -line.points[-1][1])
        rows = [[*(line.labels.get(name, "") for name in columns[:-1]), line.points[-1][1]] for line in found]
    if not rows:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", fontsize=9, color=_FAINT)
        return
    wide = max(10, int(axes.get_window_extent().width / 5.6 / len(columns)))
    cells = [
        [_cell(value, units.get(name, ""), wide) for name, value in zip(columns, row, strict=True)]
        for row in rows[:_MOST_ROWS]
    ]
    tall = (len(cells) + 1) / (_MOST_ROWS + 1)
    box = Bbox.from_bounds(0, 1 - tall, 1, tall)
    table = axes.table([list(columns), *cells], bbox=box, cellLoc="left", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for (index, _), cell in table.get_celld().items():
        cell.set_edgecolor(_EDGE)
        cell.set_linewidth(0.5)
        cell.get_text().set_color(_INK)
        if index == 0:
            cell.get_text().set_fontweight("bold")


def _cell(value: Any, unit: str, wide: int) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%H:%M:%S}"
    if isinstance(value, str) or value is None:
        text = value or ""
        return text if len(text) <= wide else f"{text[: wide - 1]}…"
    return written(float(value), unit)
