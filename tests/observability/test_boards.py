"""The dashboards as they are shipped: made by the code beside them, and complete."""

from __future__ import annotations

import re
from typing import Any

import pytest

from k8s.observability.boards import BOARDS, FOLDER, written
from tests.observability.questions import dashboards, panels

ALL = dashboards()
_UNITS = {"timeseries", "stat"}
_VARIABLE = re.compile(r"\$\{?(\w+)")
_GRAFANAS = {"__rate_interval", "__range", "__timeFilter"}


@pytest.mark.parametrize("name", BOARDS)
def test_the_file_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text("utf-8") == written(name), "run: make dashboards"


def test_there_are_no_other_files() -> None:
    assert set(ALL) == set(BOARDS)


def test_no_two_have_the_same_address() -> None:
    assert len({board["uid"] for board in ALL.values()}) == len(ALL)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_beside_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in ALL[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def units(panel: dict[str, Any]) -> list[str]:
    config = panel["fieldConfig"]
    own = [config["defaults"]["unit"]] if "unit" in config["defaults"] else []
    return own + [one["value"] for each in config["overrides"] for one in each["properties"] if one["id"] == "unit"]


@pytest.mark.parametrize("name", BOARDS)
def test_each_panel_says_what_it_shows(name: str) -> None:
    titles = [panel["title"] for panel in panels(ALL[name])]
    assert len(set(titles)) == len(titles)
    ids = [panel["id"] for panel in ALL[name]["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(ALL[name]):
        assert panel["description"].strip(), panel["title"]
        if panel["type"] in _UNITS:
            assert units(panel), panel["title"]
        if panel["type"] != "text":
            assert panel["targets"], panel["title"]
            assert panel["datasource"]["uid"] in ("${prometheus}", "${ledger}"), panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_is_there(name: str) -> None:
    defined = {variable["name"] for variable in ALL[name]["templating"]["list"]} | _GRAFANAS
    asked = [target for panel in panels(ALL[name]) for target in panel.get("targets") or ()]
    used = {name for target in asked for name in _VARIABLE.findall(target.get("expr") or target["rawSql"])}
    # Of a regular expression's end.
    assert used <= defined
    assert {"prometheus"} <= defined
    assert len({target["refId"] for panel in panels(ALL[name]) for target in panel.get("targets") or ()}) >= 1
