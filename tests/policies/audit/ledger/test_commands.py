"""The commands as they are typed, on a ledger of SQLite."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.cli.app import GROUP, run
from policies.audit.ledger.settings import LedgerSettings
from tests.policies.audit.ledger.histories import decision
from tests.policies.audit.ledger.stocked import fill, month

PLUGIN = EntryPoint("ledger", "policies.audit.ledger.commands:app", GROUP)
NOVEMBER = ("--from", "2026-11", "--to", "2026-11")


@dataclass
class Typed:
    """Types commands, and reads what is answered."""

    config: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, status: int = 0) -> str:
        """What is on stdout; on stderr where the status is not 0."""
        found = run(["ledger", *words, "--config", str(self.config)], plugins=[PLUGIN])
        written = self.capsys.readouterr()
        assert found == status, written
        return written.err if status else written.out


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    sink = {"kind": "ledger", "url": f"sqlite:///{tmp_path}/l.db"}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"policies": [{"policy": "audit", "settings": {"sinks": [sink]}}]}))
    return Typed(path, capsys)


@pytest.fixture
def typed(empty: Typed, tmp_path: Path) -> Typed:
    hostile = decision("evil", model="\x1b[2J", timestamp="2026-10-05T00:00:00.000000Z", decision="reject")
    fill(LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/l.db"), [*month(), hostile])
    return empty


def test_a_table(typed: Typed) -> None:
    lines = typed("usage", "--by", "tenant,department,user,model", *NOVEMBER).splitlines()
    assert lines[0].split() == [
        *("tenant", "department", "user", "model", "requests", "refused", "open", "input", "cached", "output"),
        *("reasoning", "cost"),
    ]
    assert lines[1].split() == ["contoso", "R&D", "bob", "claude", *["1", "0", "0", "10", "2", "5", "0", "$1.000001"]]
    assert lines[2].split() == ["contoso", "R&D", "alice", "gpt-5", *["5", "1", "1", "20", "4", "10", "0", "$0.30"]]
    assert len(lines) == 5


def test_what_has_no_price_is_told(typed: Typed) -> None:
    assert run(["ledger", "usage", *NOVEMBER, "--config", str(typed.config)], plugins=[PLUGIN]) == 0
    assert typed.capsys.readouterr().err == (
        "warning: of 1 exchanges the cost is not known, for their models have no price\n"
    )


def test_for_programs_and_spreadsheets(typed: Typed) -> None:
    words = ("usage", "--by", "user", "--user", "alice", "--user", "carol", "--decision", "allow", *NOVEMBER)
    rows: list[dict[str, Any]] = json.loads(typed(*words, "--json"))
    assert [(row["user"], row["requests"], row["cost"]) for row in rows] == [
        ("alice", 4, "0.300000"),
        ("carol", 1, "0.000001"),
    ]
    table = list(csv.DictReader(typed(*words, "--csv").splitlines()))
    assert [(row["user"], row["cost"]) for row in table] == [("alice", "0.300000"), ("carol", "0.000001")]


def test_a_period_without_anything(typed: Typed) -> None:
    for by in ("", "model"):
        assert typed("usage", "--by", by, "--from", "2020-01", "--to", "2020-01") == "nothing in this period\n"


def test_names_do_not_steer_the_terminal(typed: Typed) -> None:
    for words in (("usage", "--from", "2026-10", "--to", "2026-10"), ("show", "evil")):
        out = typed(*words)
        assert "\x1b" not in out
        assert "\\x1b[2J" in out


@pytest.mark.parametrize("identifier", ["no", "req-no"])
def test_why_a_request_was_refused(typed: Typed, identifier: str) -> None:
    first, *lines = typed("show", identifier).splitlines()
    assert first == (
        "alice of contoso asked for gpt-5: refused by limits rate_limit_exceeded: tokens_per_day of contoso/user=alice"
    )
    told = {line.split()[0]: line.split()[1] for line in lines if line.strip()}
    assert (told["decision"], told["decided_at"], told["closed"]) == ("reject", "2026-11-05T00:00:00.000000Z", "yes")


def test_a_request_for_programs(typed: Typed) -> None:
    (entry,) = json.loads(typed("show", "r-a1", "--json"))
    assert (entry["exchange_id"], entry["cost"]) == ("a1", "0.100000")


def test_a_request_that_is_not_there(typed: Typed) -> None:
    assert typed("show", "riddle", status=1) == "sluicegate: the ledger has no such request\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("usage", "--by", "riddle"), "--by 'riddle': expected some of tenant"),
        (("usage", "--from", "riddle"), "--from riddle: expected a time"),
        (("usage", "--csv", "--json"), "expected --csv or --json, not both"),
        (("show", "x", "--sink", "other"), "no sink of `kind: ledger` and `name: other`"),
    ],
)
def test_what_was_typed_wrongly(typed: Typed, words: tuple[str, ...], told: str) -> None:
    assert told in typed(*words, status=2)


@pytest.mark.parametrize("words", [("usage", *NOVEMBER), ("show", "req-no"), ("migrate",)])
def test_the_configuration_comes_last_or_as_an_option(typed: Typed, words: tuple[str, ...]) -> None:
    said = typed(*words)
    assert run(["ledger", *words, str(typed.config)], plugins=[PLUGIN]) == 0
    assert typed.capsys.readouterr().out == said
    assert "expected CONFIG or --config" in typed(*words, str(typed.config), status=2)


def test_migrate(empty: Typed) -> None:
    assert "not there; it is made when the journal is followed" in empty("usage", status=1)
    assert empty("migrate") == "the tables are of revision 0002; before: none\n"
    assert empty("migrate") == "the tables are of revision 0002\n"
    assert empty("usage") == "nothing in this period\n"
