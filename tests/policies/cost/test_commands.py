"""`sluicegate cost …` as it is typed: on a real ledger of SQLite, through the real host."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet  # type: ignore[import-untyped,unused-ignore]

from extproc.cli.app import GROUP, run
from policies.audit.ledger.settings import LedgerSettings
from tests.policies.audit.ledger.histories import closing, decision
from tests.policies.audit.ledger.stocked import fill, month
from tests.policies.cost.reporting.exports import COSTS, cost, sheet

PLUGIN = EntryPoint("cost", "policies.cost.commands:app", GROUP)
NOVEMBER = ("--period", "2026-11")
EVIL = "<script>alert(1)</script>"


@dataclass
class Typed:
    """Types commands, and reads what is answered."""

    config: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, status: int = 0) -> str:
        """What is on stdout; on stderr where the status is 2."""
        found = run(["cost", *words, "--config", str(self.config)], plugins=[PLUGIN])
        self.written = self.capsys.readouterr()
        assert found == status, self.written
        return self.written.err if status == 2 else self.written.out


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    price = {"input": 2.5, "cached_input": 1.25, "output": 10}
    upstreams = [
        {
            "name": "openai",
            "provider": "openai",
            "url": "https://api.openai.com/v1",
            "models": [{"name": "gpt-5", "max_output": 1_000, "price": price}],
        }
    ]
    sinks = [{"kind": "ledger", "url": f"sqlite:///{tmp_path}/ledger.db"}]
    audit = {"policy": "audit", "settings": {"journal": {"folder": str(tmp_path / "journal")}, "sinks": sinks}}
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump({"upstreams": upstreams, "policies": [audit]}))
    return Typed(path, capsys)


@pytest.fixture
def typed(empty: Typed, tmp_path: Path) -> Typed:
    who = {"tenant": EVIL, "user_id": "=1+1", "timestamp": "2026-11-09T00:00:00.000000Z"}
    evil = [decision("evil", **who), closing("evil", cost="2.000000", **who)]
    fill(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/ledger.db"), [*month(), *evil])
    return empty


def test_a_report(typed: Typed) -> None:
    lines = typed("report", "--by", "user", "--tenant", "contoso", *NOVEMBER).splitlines()
    assert lines == [
        "November 2026",
        "user   requests  refused  input  output  cached input         cost",
        "bob           2        0     20      10             4  > $1.000001",
        "alice         5        1     20      10             4    $0.300000",
        "total         7        1     40      20             8  > $1.300001",
    ]
    assert typed.written.err.splitlines() == [
        "warning: the cost of 1 requests is not known, for their models have no price",
        "warning: 1 requests have not ended on record: what they cost is not in the sum",
    ]


@pytest.mark.parametrize(
    "by", ["tenant", "user", "model", "response_model", "day", "month", "upstream", "agent", "price", ""]
)
def test_every_format_and_grouping_has_the_same_sum(typed: Typed, tmp_path: Path, by: str) -> None:
    words = ("report", "--by", by, *NOVEMBER)
    told = json.loads(typed(*words, "--json"))
    assert (told["total"]["cost"], told["total"]["requests"]) == ("3.300002", 9)
    rows = list(csv.DictReader(typed(*words, "--csv").splitlines()))
    file = tmp_path / "bill.parquet"
    assert typed(*words, "--parquet", str(file)) == ""
    table = parquet.read_table(file).to_pylist()
    assert len(rows) == len(table) == len(told["rows"])

    def micro(text: str | None) -> int:
        return int((text or "0").replace(".", ""))

    assert sum(micro(row["cost"]) for row in rows) == sum(micro(row["cost"]) for row in told["rows"]) == 3_300_002
    assert sum(int((row["cost"] or 0) * 1_000_000) for row in table) == 3_300_002
    page = tmp_path / "bill.html"
    assert typed(*words, "--html", str(page)) == ""
    assert "&gt; $3.300002" in page.read_text()
    assert "> $3.300002" in typed(*words)


def test_a_tenant_called_script(typed: Typed, tmp_path: Path) -> None:
    page = tmp_path / "bill.html"
    typed("report", "--by", "tenant,user", *NOVEMBER, "--html", str(page))
    text = page.read_text()
    assert text.count("<script>") == 1
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    rows = list(csv.DictReader(typed("report", "--by", "tenant,user", *NOVEMBER, "--csv").splitlines()))
    assert (rows[0]["tenant"], rows[0]["user"]) == (EVIL, "'=1+1")


def test_periods(typed: Typed) -> None:
    def whole(*words: str) -> Any:
        return json.loads(typed("report", "--by", "", "--json", *words))["total"]["cost"]

    assert whole("--from", "2026-11", "--to", "2026-12") == "8.300002"
    assert whole("--period", "2026-12") == "5.000000"
    assert whole("--from", "2026-11-02", "--to", "2026-11-02") == "1.000001"
    assert typed("report", "--period", "2020").splitlines() == ["2020-01-01 to 2020-12-31", "nothing was spent"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--by", "tenent"), "did you mean 'tenant'?"),
        (("--period", "soon"), "--period soon: expected 2026-11"),
        (("--period", "2026", "--from", "2026"), "not both"),
        (("--to", "2026"), "--to needs --from"),
        (("--csv", "--json"), "expected one of --csv, --json, --parquet and --html"),
    ],
)
def test_what_is_typed_wrongly(typed: Typed, words: tuple[str, ...], told: str) -> None:
    assert told in typed("report", *words, status=2)


def test_where_no_record_is_kept(empty: Typed) -> None:
    typed = empty
    assert typed("report", status=1) == ""
    assert "ledger.db: not there; it is made when the journal is followed" in typed.written.err
    tree = yaml.safe_load(typed.config.read_text())
    del tree["policies"][0]["settings"]["sinks"]
    typed.config.write_text(yaml.safe_dump(tree))
    typed("report", status=1)
    assert typed.written.err == "sluicegate: the policy `audit` keeps no ledger: give it a sink of `kind: ledger`\n"


def test_estimates(typed: Typed, tmp_path: Path) -> None:
    # 500 * 2.5 + 500 * 1.25 + 100 * 10 = 2875 micro-dollars.
    words = ("estimate", "gpt-5", "--input-tokens", "1000", "--output-tokens", "100", "--cached", "500")
    assert typed(*words).splitlines()[-1].endswith(": $0.002875")
    body = tmp_path / "body.json"
    body.write_text('{"model": "gpt-5", "input": "What is a sluice gate?", "max_output_tokens": 100}')
    told = json.loads(typed("estimate", "--request", str(body), "--json"))
    assert (told["most_output"], told["most_input"]) == (100, 74)
    assert (told["most"], told["source"]) == ("0.001185", "configured")
    assert "not both" in typed(*words, "--request", str(body), status=2)
    assert "expected MODEL, or --request" in typed("estimate", status=2)
    assert "--at soon: expected" in typed(*words, "--at", "soon", status=2)


def test_reconciling(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "invoice.csv"
    # What the record has of `gpt-5-2026`: 0.3 on the first, 1.000001 on the second, 0.000001 on the thirtieth.
    rows = [cost("2026-11-01", "gpt-5-2026, input", "0.1"), cost("2026-11-01", "gpt-5-2026, output", "0.2")]
    path.write_text(sheet(COSTS, *rows))
    assert typed("reconcile", str(path)).splitlines()[-1] == "all agree within the tolerance"
    path.write_text(sheet(COSTS, *rows, cost("2026-11-02", "gpt-5-2026, output", "1.1")))
    assert "1 of 2 differ by more than is tolerated" in typed("reconcile", str(path), status=1)
    assert "all agree" in typed("reconcile", str(path), "--tolerance", "10%")
    told = json.loads(typed("reconcile", str(path), "--json", status=1))
    assert [(row["day"], row["difference"], row["over"]) for row in told["rows"]] == [
        ("2026-11-01", "0.000000", False),
        ("2026-11-02", "0.099999", True),
    ]
    assert len(typed("reconcile", str(path), "--csv", status=1).splitlines()) == 3
    assert "invoice.csv:1" in typed("reconcile", str(_broken(path)), status=2)


def _broken(path: Path) -> Path:
    path.write_text("a,a\n")
    return path


def test_the_help_names_all_of_them(typed: Typed) -> None:
    assert run(["cost", "--help"], plugins=[PLUGIN]) == 0
    told = typed.capsys.readouterr().out
    assert all(word in told for word in ("report", "estimate", "reconcile"))
