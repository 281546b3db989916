"""The run at a glance, as a picture. Edge: matplotlib (extra `bench`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loadtests.bench.results import BASE, Row
from loadtests.bench.scenarios import ALONE, BUSY

_OURS: Final = "#1f6f8b"
_REFERENCE: Final = "#9fb8c2"
_OTHERS: Final = "#d9822b"
_PLAIN: Final = "#5f6b73"
_LABELS: Final[Mapping[str, str]] = {
    BASE: "plain Envoy",
    "grpcio echo": "grpcio, no policy",
    "wire echo": "wire, no policy",
    "grpcio empty": "grpcio, empty chain",
    "wire empty": "wire, empty chain",
    "grpcio default": "grpcio, default chain",
    "wire default": "wire, default chain",
    "wire cost": "  and prices, metrics",
    "wire limits": "  and limits on 5 subjects",
    "wire audit": "  and the journal",
    "wire strict": "  and the journal, strict",
    "aigw": "AI Gateway, alone",
    "aigw wire all": "AI Gateway, all controls",
    "litellm": "LiteLLM (proxy only)",
    "portkey": "Portkey (proxy only)",
}


def _color(target: str) -> str:
    if target == BASE:
        return _PLAIN
    return _OURS if target.startswith("wire") else _REFERENCE if target.startswith("grpcio") else _OTHERS


def draw(rows: Sequence[Row], path: Path, subtitle: str) -> None:
    """Write the picture: CPU, rate and latency by target, on logarithmic scales."""
    # Slow to import, and only drawn where a page is written.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    busy = {row.target: row for row in rows if row.scenario == BUSY.name}
    alone = {row.target: row for row in rows if row.scenario == ALONE.name}
    targets = [target for target in _LABELS if target in busy][::-1]
    figure = Figure(figsize=(13, 0.42 * len(targets) + 2.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"What a policy layer costs\n{subtitle}", fontsize=11)
    cpu, rate, latency = figure.subplots(1, 3, sharey=True)
    _bars(cpu, targets, {name: row.cpu.get("policy", 0.0) * 1e6 for name, row in busy.items()})
    cpu.set_title("CPU of the policy layer per request, us\n32 connections; less is better", fontsize=10)
    _bars(rate, targets, {name: row.rate for name, row in busy.items()})
    rate.set_title("requests per second\n32 connections; more is better", fontsize=10)
    _latencies(latency, targets, alone)
    latency.set_title("latency, ms: p50 (bar) and p99 (line)\n1 connection; less is better", fontsize=10)
    cpu.set_yticks(range(len(targets)), [_LABELS[target] for target in targets])
    figure.savefig(path, metadata={"Software": None})


def _bars(axes: Any, targets: Sequence[str], values: Mapping[str, float]) -> None:
    _scale(axes, [value for value in values.values() if value])
    for place, target in enumerate(targets):
        if value := values.get(target):
            axes.barh(place, value, color=_color(target))
            axes.annotate(f" {value:,.0f}", (value, place), va="center", fontsize=9)
        else:
            axes.text(0.01, place, "none", transform=axes.get_yaxis_transform(), va="center", fontsize=9)


def _latencies(axes: Any, targets: Sequence[str], rows: Mapping[str, Row]) -> None:
    _scale(axes, [value * 1000 for row in rows.values() for value in (row.p50, row.p99)])
    for place, target in enumerate(targets):
        if target in rows:
            p50, p99 = rows[target].p50 * 1000, rows[target].p99 * 1000
            axes.barh(place, p50, color=_color(target))
            axes.plot((p50, p99), (place, place), color="black", linewidth=1)
            axes.plot(p99, place, "|", color="black", markersize=9)
            axes.annotate(f"  {p50:.2f} / {p99:.2f}", (p99, place), va="center", fontsize=9)


def _scale(axes: Any, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    if values:
        axes.set_xlim(min(values) / 2.5, max(values) * 9)
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
