"""Where the journals are, from a configuration of which the rest may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from extproc.mistakes import ConfigurationError
from policies.audit.showing.configured import read, section


def write(path: Path, tree: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree))
    return path


def audit(settings: object) -> dict[str, object]:
    return {"upstreams": "wrong", "policies": [{"policy": "limits"}, 7, {"policy": "audit", "settings": settings}]}


def test_the_folder_of_a_configuration(tmp_path: Path) -> None:
    config = write(tmp_path / "gateway.yaml", audit({"journal": {"folder": "/var/journal"}, "unknown": 1}))
    found = read(config, None, tmp_path)
    assert found.folder == Path("/var/journal")
    assert found.place == f"{config}: policies[2].settings"


def test_the_gateway_that_runs(tmp_path: Path) -> None:
    write(tmp_path / "state/run/config.yaml", audit({"journal": {"folder": "/var/journal"}}))
    assert read(None, None, tmp_path / "state").folder == Path("/var/journal")


def test_what_up_keeps_is_in_its_state_directory(tmp_path: Path) -> None:
    sinks = [{"kind": "ledger", "url": "embedded://ledger"}]
    config = write(tmp_path / "c.yaml", audit({"journal": {"folder": "embedded://journal"}, "sinks": sinks}))
    state = tmp_path / "state"
    with pytest.raises(ConfigurationError) as refused:
        read(config, None, state)
    assert refused.value.mistakes == [
        f"{config}: policies[2].settings.journal.folder: embedded://journal: it is in the state directory of"
        f" `sluicegate up`, which has not run with {state}: give its --state"
    ]
    write(state / "run/config.yaml", {})
    found = read(config, None, state)
    assert found.folder == state / "journal"
    assert found.settings["sinks"] == [{"kind": "ledger", "url": f"sqlite:///{state}/ledger.sqlite"}]


def test_a_folder_alone(tmp_path: Path) -> None:
    found = read(None, tmp_path, tmp_path / "state")
    assert found.folder == tmp_path
    assert found.settings == {"journal": {"folder": str(tmp_path)}}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[]", "expected a mapping of sections"),
        ("policies: 7", "policies: `audit` is not among them"),
        ("policies: [{policy: audit}]", "policies[0].settings.journal.folder: expected the folder of the journals"),
        ("policies: [{policy: audit, settings: 7}]", "journal.folder: expected"),
        ("policies: [{policy: audit, settings: {journal: {folder: 7}}}]", "journal.folder: expected"),
        ("policies: [{policy: audit, settings: {journal: [folder]}}]", "journal.folder: expected"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, mistake: str) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read(config, None, tmp_path)
    assert len(caught.value.mistakes) == 1
    assert mistake in caught.value.mistakes[0]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read(tmp_path / "gateway.yaml", None, tmp_path)
    with pytest.raises(ConfigurationError, match="give its --state, the configuration, or --folder"):
        read(None, None, tmp_path)
    with pytest.raises(ConfigurationError, match="no such folder"):
        read(None, tmp_path / "nowhere", tmp_path)
    with pytest.raises(ConfigurationError, match="not both"):
        read(tmp_path / "gateway.yaml", tmp_path, tmp_path)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str
    size: int = 1


def test_a_section(tmp_path: Path) -> None:
    config = write(tmp_path / "gateway.yaml", audit({"journal": {"folder": "/var/journal", "size": "hunter2"}}))
    found = read(config, None, tmp_path)
    assert section(found, Section, "journal", size=3) == Section(folder="/var/journal", size=3)
    with pytest.raises(ConfigurationError, match=r"policies\[2\].settings.journal.size: Input should be") as caught:
        section(found, Section, "journal")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"settings.sinks.folder: Field required"):
        section(found, Section, "sinks")
