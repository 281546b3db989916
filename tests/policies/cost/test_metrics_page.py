"""The page on metrics names every metric, with its labels, and every key of the settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from extproc.catalogue import Catalogue
from extproc.chain import Chain
from extproc.measures import tell_certificate
from extproc.metrics import Metrics
from extproc.policy import Surroundings
from extproc.recorder import Recorder
from policies.audit.following.metering import Meter, Metering
from policies.cost.attribution import RESULTS
from policies.cost.series import TYPES, UNPRICED_REASONS, CostSeries
from policies.cost.settings import CostSettings
from policies.entra import EntraPolicy
from policies.limits.budgets import Budgets
from policies.limits.relay import Relay
from tests.policies.entra.world import settings
from tests.policies.limits.memory_registry import MemoryRegistry

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z_]+)` \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
# The sink `metrics` has settings and an example of its own.
OWN = PAGE.partition("## By OpenTelemetry")[0]
ROWS = {name: (first.strip(), meaning) for name, first, meaning in ROW.findall(OWN)}


def labels() -> dict[str, tuple[str, ...]]:
    metrics = Metrics()
    Chain([], metrics=metrics)
    CostSeries(metrics, tenants=1, pinned=(), models=1, tags=1)
    tell_certificate(metrics, dict)
    Budgets(metrics, float, bool)
    Relay(MemoryRegistry(), Recorder(), metrics)
    Metering(Meter(Path(), ()), metrics, float, int)
    EntraPolicy.build(settings(), Surroundings(Catalogue(), float, metrics=metrics))
    return {name: metric.definition.labels for name, metric in metrics._metrics.items()}


@pytest.mark.parametrize(("name", "labels"), labels().items(), ids=list(labels()))
def test_every_metric_has_its_row(name: str, labels: tuple[str, ...]) -> None:
    assert tuple(re.findall(r"`(\w+)`", ROWS[name][0])) == labels


def test_no_row_is_of_a_metric_that_is_not() -> None:
    told = {"sluicegate_metrics_refused_total", "sluicegate_metrics_moved_total"}
    named = {name for name in ROWS if name.startswith(("ai_", "sluicegate_"))}
    assert named == {*labels(), *told}


def test_every_key_of_the_settings_and_its_default() -> None:
    for name, info in CostSettings.model_fields.items():
        default = info.get_default()
        assert ROWS[name][0] == ("none" if default == () else str(default))


def test_every_value_of_a_bounded_label_is_named() -> None:
    for name, values in (
        ("ai_tokens_total", TYPES),
        ("ai_requests_total", RESULTS),
        ("ai_unpriced_total", UNPRICED_REASONS.values()),
    ):
        assert set(values) <= set(re.findall(r"`(\w+)`", ROWS[name][1]))


def test_the_bound_that_is_stated_is_the_one_that_holds() -> None:
    series = CostSeries(Metrics(), tenants=100, pinned=(), models=10, tags=0)
    one = series.cost.definition.room - 1
    histogram = len(series.seconds.definition.bounds) + 3
    whole = series.tokens.definition.room + series.requests.definition.room - 2 + one * (1 + histogram)
    assert f"{whole:,}, if every tenant" in PAGE


def test_the_example_is_right() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", OWN, re.DOTALL)
    (entry,) = yaml.safe_load(block)["policies"]
    assert CostSettings.model_validate(entry["settings"]).tags[0].values == ("apollo", "gemini")
