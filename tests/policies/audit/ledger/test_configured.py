from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.mistakes import ConfigurationError
from policies.audit.ledger.configured import found, read

NOWHERE = Path("/nowhere")
CONFIG = Path("c.yaml")
LEDGER = {"kind": "ledger", "url": "sqlite:///l.db"}


def tree(*sinks: Any) -> dict[str, Any]:
    return {
        "policies": [
            "nonsense",
            {"policy": "entra"},
            {"policy": "audit", "settings": {"journal": {"folder": 7}, "sinks": [{"kind": "webhook"}, *sinks]}},
        ]
    }


def test_the_ledger_among_the_sinks() -> None:
    assert found(tree({**LEDGER, "timeout": 5}), CONFIG, NOWHERE).timeout == 5


def test_one_of_several() -> None:
    both = tree(LEDGER, {**LEDGER, "name": "other", "url": "sqlite:///o.db"})
    assert found(both, CONFIG, NOWHERE, "other").url == "sqlite:///o.db"
    assert found(both, CONFIG, NOWHERE, "ledger").url == "sqlite:///l.db"
    with pytest.raises(ConfigurationError, match="there are several ledgers: say which by --sink: ledger, other"):
        found(both, CONFIG, NOWHERE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "c.yaml: policies: `audit` is not among them"),
        (
            {"policies": [{"policy": "audit", "settings": 3}]},
            "policies[0].settings.sinks: there is no sink of",
        ),
        (tree(), "policies[2].settings.sinks: there is no sink of `kind: ledger`"),
        (tree({**LEDGER, "url": "x:hunter2"}), "policies[2].settings.sinks[1].url"),
        (tree({**LEDGER, "riddle": "hunter2"}), "policies[2].settings.sinks[1].riddle: Extra inputs"),
    ],
)
def test_what_cannot_be_used(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        found(content, CONFIG, NOWHERE)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_name_that_no_ledger_has() -> None:
    with pytest.raises(ConfigurationError, match="no sink of `kind: ledger` and `name: other`"):
        found(tree(LEDGER), CONFIG, NOWHERE, "other")


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(tree(LEDGER)))
    assert read(path, NOWHERE).url == "sqlite:///l.db"


def test_the_gateway_that_runs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(tree(LEDGER)))
    assert read(None, tmp_path).url == "sqlite:///l.db"
    with pytest.raises(ConfigurationError, match="not there"):
        read(None, tmp_path / "other")


EMBEDDED = {"kind": "ledger", "url": "embedded://ledger"}


def test_what_up_keeps_is_in_its_state_directory(tmp_path: Path) -> None:
    path, state = tmp_path / "c.yaml", tmp_path / "state"
    path.write_text(yaml.safe_dump(tree(EMBEDDED)))
    with pytest.raises(ConfigurationError) as refused:
        read(path, state)
    (line,) = refused.value.mistakes
    assert line == (
        f"{path}: policies[2].settings.sinks[1].url: embedded://ledger: it is in the state directory of `sluicegate up`,"
        f" which has not run with {state}: give its --state"
    )
    (state / "run").mkdir(parents=True)
    (state / "run" / "config.yaml").touch()
    assert read(path, state).url == f"sqlite:///{state}/ledger.sqlite"
