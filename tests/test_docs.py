"""The documents point at what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.assembly import assemble
from extproc.cli.app import GROUP, build
from extproc.settings import parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PLACE = re.compile(r"`((?:tests|docs|extproc|policies|envoy|examples|loadtests|k8s)/[\w./-]+)`")
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [target for target in LINK.findall(text) if "://" not in target]
    assert [target for target in links if not (page.parent / target).exists()] == []
    assert [place for place in PLACE.findall(text) if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_are_commands(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)\s*make ([a-z]+)", text, re.MULTILINE)) <= targets
    # Our policies' own; and the last one is the example's, of the page on policies.
    own = {point.name for point in entry_points(group=GROUP) if point.value.startswith("policies.")}
    known = {command.name for command in build([]).registered_commands} | own | {"quiet-hours"}
    said = set(re.findall(r"(?:^\s*|`|\$\()(?:\.venv/bin/)?sluicegate ([a-z-]+)", text, re.MULTILINE))
    assert said <= known


def configurations() -> Iterator[Any]:
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text("utf-8")):
            if language == "yaml":
                tree = yaml.safe_load(block)
                if isinstance(tree, dict) and {"upstreams", "policies"} <= set(tree):
                    yield pytest.param(tree, id=ids(page))


@pytest.mark.parametrize("tree", list(configurations()))
def test_whole_configurations_are_right(tree: dict[str, Any]) -> None:
    assert assemble(parse(tree)).links
