"""What the pages say of dashboards and alerts is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from extproc.cli.app import GROUP, build
from tests.observability.questions import (
    PAGE,
    RUNBOOKS,
    asked_by_dashboards,
    explained,
    names,
    rules,
)
from tests.servers import REPOSITORY

FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ROWS = explained(PAGE.read_text("utf-8"))


def questions() -> list[tuple[str, str]]:
    asked = [(one.where, one.expression) for one in asked_by_dashboards() if not one.sql]
    return asked + [(rule.get("record") or rule["alert"], rule["expr"]) for rule in rules()]


def test_every_row_is_about_a_question_that_asks_for_it() -> None:
    assert ROWS
    for row in ROWS:
        metric = row.what.partition("{")[0]
        assert any(where == row.where and metric in names(text) for where, text in questions()), row
    assert len({row.where for row in ROWS}) == len(ROWS)


def test_whatever_waits_is_in_the_table() -> None:
    waiting = {row.what for row in ROWS if row.waiting}
    asking = {where for where, text in questions() if names(text) & waiting}
    assert asking == {row.where for row in ROWS if row.waiting}


def test_what_waits_is_not_there_yet() -> None:
    waiting = {row.what for row in ROWS if row.waiting}
    sources = [path for package in ("extproc", "policies") for path in (REPOSITORY / package).rglob("*.py")]
    assert any("sluicegate_entra_keys_age_seconds" in path.read_text("utf-8") for path in sources)
    built = {metric for metric in waiting for path in sources if f'"{metric}"' in path.read_text("utf-8")}
    assert built == set(), f"these are there now: take their rows out of {PAGE.name}"


@cache
def sluicegate() -> Any:
    own = [point for point in entry_points(group=GROUP) if point.value.startswith("policies.")]
    return typer.main.get_command(build(own))


def commands() -> Iterator[tuple[str, str]]:
    for page in sorted(RUNBOOKS.glob("*.md")):
        for block in FENCE.findall(page.read_text("utf-8")):
            for line in block.splitlines():
                if line.startswith("sluicegate "):
                    yield page.stem, line


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_commands_are_typed_right(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = sluicegate()
    context = command.make_context("sluicegate", ["--help"], resilient_parsing=True)
    while hasattr(command, "get_command"):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    # Parsed, not run: an option or argument that is none raises.
    command.make_context("sluicegate", words, parent=context)


def test_every_runbook_has_commands() -> None:
    assert {Path(page).stem for page in RUNBOOKS.glob("*.md")} == {
        page.stem for page in RUNBOOKS.glob("*.md") if FENCE.search(page.read_text("utf-8"))
    }
