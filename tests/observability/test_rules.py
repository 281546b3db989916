"""Rules: right for Prometheus, each tested both ways, each with a page for whoever is called."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.observability.questions import (
    ALERTS_PAGE,
    FOLDER,
    RUNBOOKS,
    alerts,
    asked_by_dashboards,
    names,
    rules,
)
from tests.servers import REPOSITORY

CASES = sorted((REPOSITORY / "tests/observability/rules").glob("*.yaml"))
SECTIONS = ["## What it means", "## What to look at", "## Commands", "## What to do"]
ROW = re.compile(r"^\| `(Sluicegate\w+)` \| (\w+) \| .* \| \[.*\]\((.*)\) \|$", re.MULTILINE)


def promtool(*words: object) -> str:
    made = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=100
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


@pytest.mark.usefixtures("prometheus_installed")
def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    promtool("check", "rules", *(FOLDER / "rules").glob("*.yaml"))
    promtool("check", "config", FOLDER / "prometheus.yaml")


@pytest.mark.usefixtures("prometheus_installed")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(case: Any) -> None:
    promtool("test", "rules", case)


def told() -> list[tuple[str, bool]]:
    return [
        (test["alertname"], bool(test["exp_alerts"]))
        for case in CASES
        for one in yaml.safe_load(case.read_text("utf-8"))["tests"]
        for test in one["alert_rule_test"]
    ]


def spared() -> set[str]:
    """Those whose case has a series that is near to firing and is not among the alerts that are expected."""
    return {"SluicegateUpstreamUnavailable"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_is_tested_both_ways(alert: dict[str, Any]) -> None:
    outcomes = {fired for name, fired in told() if name == alert["alert"]}
    assert outcomes == ({True} if alert["alert"] in spared() else {True, False})


@pytest.mark.parametrize("alert", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    path = REPOSITORY / alert["annotations"]["runbook_url"]
    assert path.parent == RUNBOOKS
    text = path.read_text("utf-8")
    assert f"`{alert['alert']}`" in text
    assert re.findall(r"^## .*$", text, re.MULTILINE) == SECTIONS


def test_the_page_lists_them() -> None:
    listed = {
        (name, severity, f"docs/operations/{page}") for name, severity, page in ROW.findall(ALERTS_PAGE.read_text())
    }
    assert listed == {
        (alert["alert"], alert["labels"]["severity"], alert["annotations"]["runbook_url"]) for alert in alerts()
    }


def test_no_runbook_is_without_an_alert() -> None:
    used = {alert["annotations"]["runbook_url"].rpartition("/")[2] for alert in alerts()}
    assert {path.name for path in RUNBOOKS.iterdir()} == used


def test_what_is_recorded_is_used_and_what_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = [*(rule["expr"] for rule in rules()), *(asked.expression for asked in asked_by_dashboards() if not asked.sql)]
    assert {name for text in asked for name in names(text) if ":" in name} == recorded
