"""The page on limits has every key with its default, every code and field, and commands that there are."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml
from pydantic import BaseModel, TypeAdapter

from policies.limits import words
from policies.limits.commands import app
from policies.limits.limit import KINDS, Outage, OutputReserve
from policies.limits.redis_settings import RedisSettings
from policies.limits.settings import LimitEntry, LimitsSettings, Match, Weights
from policies.limits.subjects import Level
from policies.limits.told import FIELDS

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (ROOT / "docs/reference/limits.md").read_text("utf-8")
ROW: Final = re.compile(r"^\| `([a-z_.]+)` \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)
COMMANDS: Final = re.findall(r"^\$ sluicegate limits (.*)$", PAGE, re.MULTILINE)


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def defaults(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, info in model.model_fields.items():
        if info.is_required():
            found[prefix + name] = "required"
            continue
        default = info.get_default(call_default_factory=True)
        dumped = TypeAdapter(Any).dump_python(default, mode="json", exclude_defaults=True)
        found[prefix + name] = "none" if default is None else dumped
    return found


def stated(text: str) -> dict[str, Any]:
    return {
        name: cell if cell in ("required", "none", "see text") else yaml.safe_load(cell.strip("`"))
        for name, cell in ROW.findall(text)
    }


def test_every_key_of_the_settings() -> None:
    own, _, entry = section("Settings").partition("An entry of `limits` states")
    expected = {**defaults(LimitsSettings), **defaults(Weights, "weights.")}
    expected.pop("weights")
    assert stated(own) == {**expected, "limits": "see text"}
    fields = {name: default for name, default in defaults(LimitEntry).items() if name not in (*KINDS, "subject")}
    assert stated(entry) == fields
    assert stated(section("Redis")) == defaults(RedisSettings)


def test_every_word_that_can_be_chosen() -> None:
    entry = section("Settings").partition("An entry of `limits` states")[2]
    for word in (*Match.model_fields, *Outage, *OutputReserve):
        assert f"`{word}`" in entry
    text = section("What is limited")
    assert set(re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE)) - {"subject"} == set(Level)
    assert set(re.findall(r"`([a-z]+_(?:per_[a-z]+|requests))`", text)) == set(KINDS)
    rows = re.findall(r"^\| `([a-z]+)` \|", section("While Redis is away"), re.MULTILINE)
    assert rows == ["outage", *Outage]


def test_the_example_is_right() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    ((entry),) = yaml.safe_load(block)
    settings = LimitsSettings.model_validate(entry["settings"])
    assert (entry["policy"], len(settings.limits)) == ("limits", 8)


def test_every_refusal_and_no_other() -> None:
    tree = ast.parse((ROOT / "policies/limits/refusals.py").read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # Words alone are the names of units, and of a parameter.
    codes = {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)+|suspended", text)}
    assert set(re.findall(r"^\| [^|]+ \| `([a-z_]+)` \|", section("Refusals"), re.MULTILINE)) == codes


def test_every_field_that_is_told() -> None:
    told = section("What callers are told")
    for name in FIELDS:
        short = name if not name.startswith("anthropic-") else name.rpartition("-")[0]
        assert f"`{short}" in told, name


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_can_be_typed(line: str) -> None:
    commands: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name, *rest = shlex.split(line)
    # Parses and does nothing: a wrong option or a missing argument raises.
    assert commands[name].make_context(name, rest, resilient_parsing=False).params


def test_every_command_is_shown() -> None:
    commands: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {line.split()[0] for line in COMMANDS} == set(commands)
    named = set(re.findall(r"`(--[a-z]+)`", section("At run time"))) | set(
        re.findall(r" (--[a-z]+)", "\n".join(COMMANDS))
    )
    options = {option for command in commands.values() for each in command.params for option in each.opts}
    assert named <= options


@pytest.mark.parametrize(
    "columns",
    [words.LINE_COLUMNS, words.CHANGE_COLUMNS, words.MODEL_COLUMNS, ("subject", "tokens_per_day", "limit", "share")],
)
def test_tables_have_the_columns_that_are_printed(columns: tuple[str, ...]) -> None:
    heads = [tuple(re.split(r"\s{2,}", line)) for line in PAGE.splitlines()]
    assert tuple(columns) in heads


def test_every_key_in_redis() -> None:
    text = section("In Redis")
    for name in ("redis_registry", "redis_store", "subjects"):
        source = (ROOT / f"policies/limits/{name}.py").read_text("utf-8")
        for key in re.findall(r'"sg:\{sg\}:([a-z]+)"', source):
            assert f"`:{key}`" in text or f"`sg:{{sg}}:{key}`" in text, key
    assert "`sg:{TENANT}:leases`" in text
