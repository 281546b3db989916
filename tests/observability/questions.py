"""What dashboards and rules ask, read from the files that are shipped. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.servers import REPOSITORY

FOLDER: Final = REPOSITORY / "k8s/observability"
PAGE: Final = REPOSITORY / "docs/operations/dashboards.md"
ALERTS_PAGE: Final = REPOSITORY / "docs/operations/alerts.md"
RUNBOOKS: Final = REPOSITORY / "docs/operations/runbooks"
_SELECTOR: Final = re.compile(
    r"""(?<![\w:"~=.])
        (?!envoy_(?:response_code_class|cluster_name|http_conn_manager_prefix)\b)  # labels
        (?:sluicegate[_:]|ai_|envoy_|up\b|ALERTS\b) [\w:]* (?:\{(?:[^}"]|"[^"]*")*\})?""",
    re.VERBOSE,
)
_QUOTED: Final = re.compile(r'"[^"]*"')
_ROW: Final = re.compile(r"^\| (waiting|quiet) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a dashboard, or of a rule.

    Attributes:
        where: the dashboard and the panel's title, or the name of the rule.
    """

    where: str
    expression: str
    sql: bool = False


@dataclass(frozen=True, slots=True)
class Explained:
    """A row of the page: why a question has no answer. `waiting`: for a metric that nobody exposes yet."""

    waiting: bool
    where: str
    what: str


def dashboards() -> dict[str, dict[str, Any]]:
    """Those that are shipped, by the name of the file."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that show something."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def asked_by_dashboards() -> list[Asked]:
    """Every query of every panel."""
    return [
        Asked(f"{name}: {panel['title']}", target.get("expr") or target["rawSql"], "rawSql" in target)
        for name, board in dashboards().items()
        for panel in panels(board)
        for target in panel.get("targets") or ()
    ]


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    return [rule for group in groups() for rule in group["rules"]]


def groups() -> list[dict[str, Any]]:
    """Every group of every file: what is recorded comes first."""
    found: list[dict[str, Any]] = []
    for name in ("recording", "alerts"):
        found += yaml.safe_load((FOLDER / f"rules/{name}.yaml").read_text("utf-8"))["groups"]
    return found


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for rule in rules() if "alert" in rule]


def selectors(expression: str) -> list[str]:
    """The series that an expression looks at, each as an expression of its own."""
    # Words within quotes are values of labels.
    masked = _QUOTED.sub(lambda found: '"' + "-" * (len(found[0]) - 2) + '"', expression)
    return [expression[found.start() : found.end()].strip() for found in _SELECTOR.finditer(masked)]


def names(expression: str) -> set[str]:
    """The names of the metrics that an expression looks at."""
    return {selector.partition("{")[0] for selector in selectors(expression)}


def filled(expression: str, window: str = "30s") -> str:
    """A dashboard's query as Grafana sends it when everything is chosen. `window` stands for its intervals."""
    text = expression.replace("$__rate_interval", window).replace("$__range", window)
    text = text.replace("$__timeFilter(at)", "at > now() - interval '1 hour'").replace("${tenant_id:regex}", ".*")
    text = re.sub(r"\$(?:tenant_id|model|policy)\b", ".*", text)
    assert "$" not in text.replace(")$'", ""), text
    return text


def explained(page: str) -> list[Explained]:
    """The rows of the table, of a page in Markdown."""
    return [Explained(kind == "waiting", where.strip(), what.strip("` ")) for kind, where, what, _ in _ROW.findall(page)]


def hurried(groups: list[dict[str, Any]], window: int = 4) -> dict[str, Any]:
    """The rules as a test has time for: windows of some minutes are `window` seconds, longer ones are in proportion, and
    nothing has to last. What is too old after some minutes or hours is so after `window` seconds. A week stays a week,
    and days stay days."""
    scaled = {"1h": 2 * window}

    def faster(expression: str) -> str:
        expression = re.sub(r"(_(?:age|behind)_seconds\)) > \d[\d *]*", rf"\1 > {window}", expression)
        text = re.sub(r"\[(\d+[mh])\]", lambda found: f"[{scaled.get(found[1], window)}s]", expression)
        return re.sub(r"offset (\d+[mh])\b", lambda found: f"offset {scaled.get(found[1], window)}s", text)

    made = [
        {
            "name": group["name"],
            "rules": [
                {**rule, "expr": faster(rule["expr"]), **({"for": "1s"} if rule.get("for", "0m") != "0m" else {})}
                for rule in group["rules"]
            ],
        }
        for group in groups
    ]
    return {"groups": made}
