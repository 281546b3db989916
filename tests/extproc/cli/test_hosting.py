"""What commands of policies are given of the host: counters and spending of policies, of which none is started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from extproc import assembly
from extproc.cli.app import GROUP, run
from extproc.cli.hosting import Host
from extproc.configured import running
from extproc.mistakes import ConfigurationError
from extproc.policy import Policy, PolicySettings, Surroundings
from extproc.spending import Question, SpendingError, Spent
from extproc.tally import Tally
from policies.audit.ledger.settings import LedgerSettings
from tests.policies.audit.ledger.stocked import fill, month

app = typer.Typer()


@app.callback()
def hosted() -> None:
    """Commands of a policy."""


@app.command()
def ask(context: typer.Context) -> None:
    """Print what was handed in."""
    print(type(context.obj).__name__)


class CountingSettings(PolicySettings):
    """What is counted."""

    counts: Mapping[str, int] = {}
    broken: bool = False


class Counting(Policy):
    """Keeps counters, and must not be started."""

    name = "counting"
    Settings = CountingSettings

    def __init__(self, settings: CountingSettings) -> None:
        self._settings = settings

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> Counting:
        return cls(settings)

    async def start(self) -> None:
        raise AssertionError("nothing is served here")

    async def tallies(self) -> AsyncIterator[Tally]:
        start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
        for name, used in self._settings.counts.items():
            yield Tally({"user_id": name}, "tokens", start, end, used, 0, name)
        if self._settings.broken:
            raise ConnectionError("they cannot be read")


class Also(Counting):
    """Another one."""

    name = "also"


class Keeping(Counting):
    """Keeps a record."""

    name = "keeping"

    async def spending(self, question: Question) -> AsyncIterator[Spent]:
        for name, used in self._settings.counts.items():
            yield Spent(dict.fromkeys(question.by, name), 1, 0, 0, {}, used, 0, 0)
        if self._settings.broken:
            raise SpendingError("it cannot be read")


class Quiet(Policy):
    """Has no counters."""

    name = "quiet"

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> Quiet:
        return cls()


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a configuration may be put that names these policies."""

    def points(*, group: str) -> Iterable[EntryPoint]:
        classes = {"counting": "Counting", "also": "Also", "quiet": "Quiet", "keeping": "Keeping"}
        return [EntryPoint(name, f"{__name__}:{value}", group) for name, value in classes.items()]

    monkeypatch.setattr(assembly, "entry_points", points)
    return tmp_path / "gateway.yaml"


def write(path: Path, *policies: dict[str, Any], **more: Any) -> None:
    upstream = {"name": "sim", "provider": "openai", "url": "embedded://simulator/v1", "models": ["m"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"upstreams": [upstream], "policies": list(policies), **more}))


async def test_the_counters_of_every_policy(configured: Path) -> None:
    first = {"policy": "counting", "settings": {"counts": {"a": 1, "b": 2}}}
    write(configured, first, {"policy": "quiet"}, {"policy": "also", "settings": {"counts": {"c": 3}}})
    assert [(one.name, one.used) async for one in Host().tallies(configured)] == [("a", 1), ("b", 2), ("c", 3)]


async def test_policies_without_counters(configured: Path) -> None:
    write(configured, {"policy": "quiet"})
    assert [one async for one in Host().tallies(configured)] == []


async def test_what_was_read_before_a_failure_is_given(configured: Path) -> None:
    write(configured, {"policy": "counting", "settings": {"counts": {"a": 1}, "broken": True}})
    tallies = Host().tallies(configured)
    assert (await anext(tallies)).name == "a"
    with pytest.raises(ConnectionError, match="they cannot be read"):
        await anext(tallies)


async def test_a_wrong_configuration(configured: Path) -> None:
    write(configured, {"policy": "counting", "settings": {"riddle": 1}}, {"policy": "nobody"})
    with pytest.raises(ConfigurationError) as caught:
        _ = [one async for one in Host().tallies(configured)]
    told = "\n".join(caught.value.mistakes)
    assert "riddle" in told
    assert "nobody" in told
    assert f"{configured}:" in told


MONTH = Question(("tenant",), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
QUESTION = Question(("user",), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


async def test_the_first_that_keeps_a_record_is_asked_what_was_spent(configured: Path) -> None:
    kept = {"policy": "keeping", "settings": {"counts": {"a": 1, "b": 2}}}
    write(configured, {"policy": "counting", "settings": {"counts": {"x": 9}}}, kept)
    found = [one async for one in Host().spending(configured, QUESTION)]
    assert [(one.by, one.dollars) for one in found] == [({"user": "a"}, 1), ({"user": "b"}, 2)]


async def test_a_record_that_cannot_be_read(configured: Path) -> None:
    write(configured, {"policy": "keeping", "settings": {"counts": {"a": 1}, "broken": True}})
    with pytest.raises(SpendingError, match="it cannot be read"):
        _ = [one async for one in Host().spending(configured, QUESTION)]


def write_embedded(path: Path) -> None:
    sinks = [{"kind": "ledger", "url": "embedded://ledger"}]
    audit = {"policy": "audit", "settings": {"journal": {"folder": "embedded://journal"}, "sinks": sinks}}
    write(path, audit)


async def test_the_record_of_up_is_in_its_state_directory(tmp_path: Path) -> None:
    path, state = tmp_path / "gateway.yaml", tmp_path / "state"
    write_embedded(path)
    with pytest.raises(SpendingError) as refused:
        _ = [one async for one in Host().spending(path, QUESTION, state)]
    assert str(refused.value) == (
        f"{path}: policies[0].settings.sinks[0].url: embedded://ledger: it is in the state directory of `sluicegate up`,"
        f" which has not run with {state}: give its --state"
    )
    write(running(state), {"policy": "quiet"})
    with pytest.raises(SpendingError, match=f"{state}/ledger.sqlite: not there; it is made when"):
        _ = [one async for one in Host().spending(path, QUESTION, state)]
    ledger = LedgerSettings(kind="ledger", url=f"sqlite:///{state}/ledger.sqlite")
    await asyncio.to_thread(fill, ledger, month())
    found = [one async for one in Host().spending(path, MONTH, state)]
    assert {one.by["tenant"] for one in found} == {"contoso", "t-2"}


async def test_counters_of_up_are_where_it_listens(tmp_path: Path) -> None:
    path, state = tmp_path / "gateway.yaml", tmp_path / "state"
    limits = {"redis": {"url": "embedded://valkey"}, "limits": [{"subject": "tenant", "tokens_per_day": 1}]}
    tenant = {"id": "16223b5e-7f36-5850-bda3-09553ced0b0e", "name": "contoso"}
    entra = {"fetch_from": "embedded://identity", "audiences": [tenant["id"]], "tenants": [tenant]}
    write(path, {"policy": "entra", "settings": entra}, {"policy": "limits", "settings": limits})
    write(running(state), {"policy": "quiet"})
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    (state / "run/sockets").symlink_to(sockets)
    asked = asyncio.Event()

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    async with await asyncio.start_unix_server(refuse, sockets / "valkey.sock"):
        with pytest.raises(OSError, match="Redis"):
            _ = [one async for one in Host().tallies(path, state)]
    assert asked.is_set()


async def test_nobody_keeps_a_record(configured: Path) -> None:
    write(configured, {"policy": "quiet"})
    with pytest.raises(SpendingError, match=r"gateway\.yaml: policies: none of them keeps a record"):
        _ = [one async for one in Host().spending(configured, QUESTION)]


def test_what_there_is_to_call(configured: Path) -> None:
    write(configured, {"policy": "quiet"})
    (upstream,) = Host().catalogue(configured).upstreams
    assert (upstream.name, [model.name for model in upstream.models]) == ("sim", ["m"])
    write(configured, {"policy": "nobody"})
    with pytest.raises(ConfigurationError):
        Host().catalogue(configured)


def test_every_command_is_given_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hosted", "ask"], plugins=[EntryPoint("hosted", f"{__name__}:app", GROUP)]) == 0
    assert capsys.readouterr().out == "Host\n"
