from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.audit.ledger.configured import found, read
from policies.audit.showing.configured import ConfiguredError

NOWHERE = Path("/nowhere")
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
    assert found(tree({**LEDGER, "timeout": 5}), "c.yaml").timeout == 5


def test_one_of_several() -> None:
    both = tree(LEDGER, {**LEDGER, "name": "other", "url": "sqlite:///o.db"})
    assert found(both, "c.yaml", "other").url == "sqlite:///o.db"
    assert found(both, "c.yaml", "ledger").url == "sqlite:///l.db"
    with pytest.raises(ConfiguredError, match="there are several ledgers: say which by --sink: ledger, other"):
        found(both, "c.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "c.yaml: policies: `audit` has no sink of `kind: ledger`"),
        ({"policies": [{"policy": "audit", "settings": 3}]}, "`audit` has no sink of `kind: ledger`"),
        (tree(), "`audit` has no sink of `kind: ledger`"),
        (tree({**LEDGER, "url": "x:hunter2"}), "policies[2].settings.sinks[1].url"),
        (tree({**LEDGER, "riddle": "hunter2"}), "policies[2].settings.sinks[1].riddle: Extra inputs"),
    ],
)
def test_what_cannot_be_used(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfiguredError) as refused:
        found(content, "c.yaml")
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_name_that_no_ledger_has() -> None:
    with pytest.raises(ConfiguredError, match="no sink of `kind: ledger` and `name: other`"):
        found(tree(LEDGER), "c.yaml", "other")


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(tree(LEDGER)))
    assert read(path, NOWHERE).url == "sqlite:///l.db"


def test_the_gateway_that_runs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(tree(LEDGER)))
    assert read(None, tmp_path).url == "sqlite:///l.db"
    with pytest.raises(ConfiguredError, match="not there"):
        read(None, tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"a: [\n", "c.yaml:2: no YAML"), (b"\xff\xfe\xff", "c.yaml: not UTF-8"), (b"[]", "c.yaml: expected a mapping")],
)
def test_files_that_are_none(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "c.yaml").write_bytes(text)
    with pytest.raises(ConfiguredError) as refused:
        read(tmp_path / "c.yaml", NOWHERE)
    assert words in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfiguredError, match="No such file"):
        read(tmp_path / "c.yaml", NOWHERE)
