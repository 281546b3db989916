"""What stands in a configuration of which the rest may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from extproc.configured import chosen, entry_of, items, kept, mapping, read_tree, running, settled, unsettled, validated
from extproc.mistakes import ConfigurationError

CONFIG = Path("c.yaml")


def test_the_file_that_is_meant(tmp_path: Path) -> None:
    run = running(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        chosen(None, tmp_path, otherwise="or that")
    assert refused.value.mistakes == [f"{run}: not there. `sluicegate up` writes it: give its --state, or that"]
    run.parent.mkdir()
    run.touch()
    assert chosen(None, tmp_path) == run == tmp_path / "run" / "config.yaml"
    assert chosen(CONFIG, tmp_path) == CONFIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: [\n", "c.yaml: line 2, column 1: "),
        (b"a: 1\na: 2\n", "c.yaml: line 2, column 1: the key 'a' stands twice"),
        (b"[" * 5_000, "c.yaml: nested too deeply"),
        (b"- 1", "c.yaml: expected a mapping of sections"),
        (b"", "c.yaml: expected a mapping of sections"),
        (b"a: \xe4", "c.yaml: not UTF-8"),
        (None, "c.yaml: No such file or directory"),
    ],
)
def test_what_cannot_be_read(text: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigurationError) as refused:
        read_tree(path)
    (line,) = refused.value.mistakes
    assert line.startswith(f"{tmp_path}/{words}")


def test_what_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: 2024-10-21\nb: [1]\n")
    assert read_tree(tmp_path / "c.yaml") == {"a": "2024-10-21", "b": [1]}


def test_an_entry_among_others() -> None:
    text = "policies: [5, {policy: entra}, {policy: limits, shadow: true, settings: {a: 1}}, {policy: limits}]"
    found = entry_of(yaml.safe_load(text), CONFIG, "limits")
    assert (found.settings, found.place, found.shadow) == ({"a": 1}, "c.yaml: policies[2].settings", True)


@pytest.mark.parametrize("text", ["{}", "policies: 5", "policies: [5, {policy: entra}, [limits]]"])
def test_an_entry_that_is_not_there(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        entry_of(yaml.safe_load(text), CONFIG, "limits")
    assert refused.value.mistakes == ["c.yaml: policies: `limits` is not among them"]


@pytest.mark.parametrize("settings", [{}, {"settings": None}, {"settings": 7}, {"settings": ["a"]}])
def test_settings_that_are_none(settings: dict[str, object]) -> None:
    found = entry_of({"policies": [{"policy": "limits", **settings}]}, CONFIG, "limits")
    assert (found.settings, found.shadow) == ({}, False)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str
    sizes: tuple[int, ...] = ()


def test_settings_by_their_model() -> None:
    assert validated(Section, {"folder": "f", "sizes": [1]}, "here") == Section(folder="f", sizes=(1,))
    with pytest.raises(ConfigurationError) as refused:
        validated(Section, {"sizes": [1, "hunter2"], "hunter": "hunter2"}, "c.yaml: policies[0].settings")
    lines = refused.value.mistakes
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        *("policies[0].settings.folder", "policies[0].settings.sizes[1]", "policies[0].settings.hunter"),
    ]
    assert "hunter2" not in str(refused.value)


def test_values_of_another_kind_are_empty() -> None:
    assert (mapping({"a": 1}), mapping([1]), mapping(None)) == ({"a": 1}, {}, {})
    assert (items([1]), items({"a": 1}), items("text")) == ([1], [], [])


TREE = {"a": ["embedded://ledger", {"b": "embedded://journal/x", "c": "embedded://valkey"}], "d": 1, "e": "ledger"}


def test_what_up_keeps_is_in_its_state_directory(tmp_path: Path) -> None:
    assert settled(TREE, tmp_path) == TREE
    running(tmp_path).parent.mkdir()
    running(tmp_path).touch()
    ledger, journal = f"sqlite:///{tmp_path}/ledger.sqlite", f"{tmp_path}/journal"
    assert kept(tmp_path) == {"ledger": ledger, "journal": journal}
    assert settled(TREE, tmp_path) == {
        "a": [ledger, {"b": f"{journal}/x", "c": "embedded://valkey"}],
        "d": 1,
        "e": "ledger",
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("embedded://ledger", "which has not run with s: give its --state"),
        ("embedded://journal/x", "which has not run with s: give its --state"),
        ("embedded://legder", "keeps only journal, ledger in its state directory"),
        ("sqlite:///l.db", None),
        ({"env": "URL"}, None),
        (None, None),
    ],
)
def test_why_a_setting_says_no_place(value: object, words: str | None) -> None:
    told = unsettled(value, Path("s"))
    assert told is None if words is None else told is not None and told == f"{value}: {told.partition(': ')[2]}"
    assert (words or "") in (told or "")
