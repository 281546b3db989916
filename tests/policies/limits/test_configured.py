from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.mistakes import ConfigurationError
from policies.limits.configured import Configured, read
from tests.policies.limits.stocked import write_configuration

NOWHERE = Path("/nowhere")


def read_text(folder: Path, text: str) -> Configured:
    path = folder / "c.yaml"
    path.write_text(text)
    return read(path, NOWHERE)


def test_the_entry_of_the_limits(tmp_path: Path) -> None:
    found = read(write_configuration(tmp_path, {"url": "unix:///r.sock"}, models=("gpt-5",), shadow=True), NOWHERE)
    assert found.settings.redis.url == "unix:///r.sock"
    assert found.settings.limits[0].tokens_per_day == 10_000
    assert found.shadow


def test_the_gateway_that_runs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_configuration(tmp_path, {"url": "unix:///run.sock"}).rename(tmp_path / "run" / "config.yaml")
    assert read(None, tmp_path).settings.redis.url == "unix:///run.sock"


def test_what_up_starts_is_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_configuration(tmp_path, {"url": "unix:///run.sock"}).rename(tmp_path / "run" / "config.yaml")
    own = write_configuration(tmp_path, {"url": "embedded://valkey"}, shadow=True)
    found = read(own, tmp_path)
    assert (found.settings.redis.url, found.shadow) == ("unix:///run.sock", True)


def test_what_up_has_not_started_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(write_configuration(tmp_path, {"url": "embedded://valkey"}), tmp_path)
    (line,) = refused.value.mistakes
    assert "embedded://valkey: only `sluicegate up` starts this" in line
    assert "--state" in line


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(None, tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}/run/config.yaml: not there. ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "c.yaml: expected a mapping of sections"),
        ("policies: [5, {policy: entra}]", "c.yaml: policies: `limits` is not among them"),
        ("policies: [{policy: limits}]", "c.yaml: policies[0].settings.redis: Field required"),
        ("policies: [{policy: limits, settings: 5}]", "c.yaml: policies[0].settings.redis: Field required"),
    ],
)
def test_what_cannot_be_read(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_text(tmp_path, text + "\n")
    assert refused.value.mistakes == [f"{tmp_path}/{words}"]


def test_every_mistake_has_its_place_and_none_tells_a_password(tmp_path: Path) -> None:
    limits: list[dict[str, Any]] = [{"subject": "user", "tokens_per_day": -1}, {"subject": "nobody", "tokens_per_day": 1}]
    settings = {"redis": {"url": "redis://h", "password": "hunter2"}, "limits": limits}
    with pytest.raises(ConfigurationError) as refused:
        read_text(tmp_path, yaml.safe_dump({"policies": [{"policy": "limits", "settings": settings}]}))
    where = f"{tmp_path}/c.yaml: policies[0].settings"
    assert len(refused.value.mistakes) == 3
    assert refused.value.mistakes[0].startswith(f"{where}.redis.password: ")
    assert refused.value.mistakes[1].startswith(f"{where}.limits[0].tokens_per_day: ")
    assert refused.value.mistakes[2].startswith(f"{where}.limits[1].subject")
    assert "hunter2" not in str(refused.value)
