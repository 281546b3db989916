"""A policy that is none of ours: a distribution of its own, installed, found, named, ordered, and run."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import yaml

from extproc.catalogue import Catalogue
from extproc.embedded.stack import DEMO
from extproc.exchange import Exchange, Headers, Request
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Reject
from extproc.policy import Surroundings
from tests.e2e.gateway import Gateway, simulator_url
from tests.e2e.sdk_calls import CLAUDE, CLAUDE_MESSAGES, MESSAGES, MODEL, Person
from tests.extproc.embedded.ups import PROGRAM, up

DISTRIBUTION = Path(__file__).parents[1] / "fixtures" / "third_party_policy"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The distribution, installed by pip into a directory that Python looks in; nothing comes from the network."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    subprocess.run(
        (sys.executable, "-m", "pip", "install", *options, "--target", target, DISTRIBUTION), timeout=60, check=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(target), prepend=os.pathsep)
        yield target


def _window(*, quiet: bool) -> dict[str, str]:
    """Twelve hours around now, or away from it."""
    now = datetime.now(UTC) + timedelta(hours=0 if quiet else 12)
    return {"from": f"{now - timedelta(hours=6):%H:%M}", "until": f"{now + timedelta(hours=6):%H:%M}"}


def _configuration(folder: Path, place: int, *, shadow: bool = False, **settings: Any) -> Path:
    """The demo, with quiet hours now and the policy at this place in the list: 0 is before identity."""
    tree = yaml.safe_load(DEMO.read_text())
    entry = {"policy": "quiet_hours", "shadow": shadow, "settings": {**_window(quiet=True), **settings}}
    tree["policies"].insert(place, entry)
    path = folder / "my.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def _sluicegate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("place", [1, 2], ids=["before access", "after access"])
def test_it_may_stand_before_access_or_after_it(installed: Path, tmp_path: Path, place: int) -> None:
    checked = _sluicegate("check", _configuration(tmp_path, place))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "right (6 policies" in checked.stdout.replace("\n", " ")


def test_before_identity_it_is_refused(installed: Path, tmp_path: Path) -> None:
    configuration = _configuration(tmp_path, 0)
    checked = _sluicegate("check", configuration)
    assert checked.returncode == 2
    mistake = "policies: quiet_hours needs Identity, which no policy before it provides"
    assert re.fullmatch(rf"sluicegate: {re.escape(str(configuration))}:\d+: {mistake}\n", checked.stderr)


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"from": "25:00"}, "policies[2].settings.from: "),
        ({"form": "22:00"}, "policies[2].settings.form: unknown key"),
        ({"from": "22:00", "until": "22:00"}, "policies[2].settings: `from` and `until` are the same time"),
    ],
)
def test_its_settings_are_checked_like_ours(
    installed: Path, tmp_path: Path, settings: dict[str, str], mistake: str
) -> None:
    checked = _sluicegate("check", _configuration(tmp_path, 2, shadow=False, **settings))
    assert checked.returncode == 2
    assert mistake in checked.stderr


def test_where_it_is_not_installed_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    checked = _sluicegate("check", _configuration(tmp_path, 2))
    assert checked.returncode == 2
    mistake = "policies[2].policy: no policy 'quiet_hours' is installed (installed: access, audit, cost, entra"
    assert mistake in checked.stderr


@pytest.mark.parametrize(("place", "code"), [(1, "quiet_hours"), (2, "operation_not_allowed")])
def test_the_first_refusal_in_the_order_counts(installed: Path, tmp_path: Path, place: int, code: str) -> None:
    state = tmp_path / "state"
    token = Gateway("", "", state).token("mallory", "Passerby")
    asked = ("--body", json.dumps({"model": MODEL, "messages": MESSAGES}), "--token", token, "--state", state, "--json")
    explained = _sluicegate("explain", _configuration(tmp_path, place), *asked)
    assert explained.returncode == 0, explained.stderr
    explanation = json.loads(explained.stdout)
    assert (explanation["verdict"], explanation["status"], explanation["code"]) == ("reject", 403, code)
    assert [step["policy"] for step in explanation["steps"]][-1] == ("quiet_hours" if place == 1 else "access")


def test_its_command_and_its_schema_are_found(installed: Path) -> None:
    assert _sluicegate("quiet-hours", "when", "22:00", "06:00", "23:30").stdout == "23:30 is quiet\n"
    assert _sluicegate("quiet-hours", "when", "22:00", "06:00", "12:00").stdout == "12:00 is not quiet\n"
    schema = json.loads(_sluicegate("schema").stdout)
    assert set(schema["$defs"]["quiet_hours.settings"]["properties"]) == {"from", "until", "except_roles", "journal"}


def _running(config: Path, folder: Path) -> Iterator[Gateway]:
    with up(folder / "state", "--port", "0", str(config)) as started:
        printed = started.until_it_serves()
        yield Gateway(started.url, simulator_url(printed), folder / "state")
        assert started.end(signal.SIGINT) == 0
        assert started.left_behind() == []


@pytest.fixture(scope="class")
def enforcing(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway with the policy in force, and an exception for the role OrgAdmin."""
    folder = tmp_path_factory.mktemp("enforcing")
    journal = folder / "journal.jsonl"
    yield from _running(_configuration(folder, 2, except_roles=["OrgAdmin"], journal=str(journal)), folder)


class TestInForce:
    """A class, so that its gateway has ended before another is watched."""

    def test_it_refuses_with_its_own_code_in_each_dialect(self, enforcing: Gateway) -> None:
        alice = Person(enforcing.url, enforcing.token("alice"))
        with alice.openai() as client, pytest.raises(openai.PermissionDeniedError) as first:
            client.chat.completions.create(model=MODEL, messages=MESSAGES)
        with alice.anthropic() as other, pytest.raises(anthropic.PermissionDeniedError) as second:
            other.messages.create(model=CLAUDE, max_tokens=9, messages=CLAUDE_MESSAGES)
        assert first.value.code == "quiet_hours"
        assert first.value.message.startswith("Error code: 403")
        body = second.value.body
        assert isinstance(body, dict)
        assert (body["type"], body["error"]["type"], body["error"]["code"]) == (
            "error",
            "permission_error",
            "quiet_hours",
        )
        assert body["error"]["message"].startswith("The models rest until ")
        for refused in (first.value, second.value):
            assert 0 < int(refused.response.headers["retry-after"]) <= 6 * 3600
            assert refused.response.headers["x-should-retry"] == "false"
        lines = enforcing.completions("alice", 2)
        assert [(line["ending"], line["decisions"][-1]["policy"]) for line in lines] == [("rejected", "quiet_hours")] * 2

    def test_its_fact_reaches_its_settlement(self, enforcing: Gateway) -> None:
        with Person(enforcing.url, enforcing.token("olga", "OrgAdmin")).openai() as client:
            answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="llama", messages=MESSAGES)
        assert answer.choices[0].message.content
        settled = [line["request_id"] for line in enforcing.completions("olga", 2)]
        assert settled[0] == answer._request_id
        told = [json.loads(line) for line in (enforcing.state.parent / "journal.jsonl").read_text().splitlines()]
        by_id = {record["request_id"]: record for record in told if record["request_id"] in settled}
        assert [(by_id[each]["quiet"], by_id[each]["ending"]) for each in settled] == [
            (True, "answered"),
            (True, "rejected"),
        ]
        hour, minute = map(int, by_id[settled[0]]["at"].split(":"))
        now = datetime.now(UTC)
        assert (now.hour * 60 + now.minute - hour * 60 - minute) % 1440 <= 2


def test_in_shadow_mode_it_records_and_lets_pass(installed: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    for gateway in _running(_configuration(tmp_path, 1, shadow=True, journal=str(journal)), tmp_path):
        with Person(gateway.url, gateway.token("alice")).openai() as client:
            answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert answer.choices[0].message.content
        (line,) = gateway.completions("alice", 1)
        assert (line["status"], line["ending"], line["usage"]["output"]) == (200, "answered", 16)
        (decision,) = line["decisions"]
        assert decision.pop("why").startswith("it was ")
        assert decision == {"policy": "quiet_hours", "outcome": "reject", "code": "quiet_hours", "enforced": False}
        (told,) = map(json.loads, journal.read_text().splitlines())
        assert (told["request_id"], told["quiet"], told["ending"]) == (answer._request_id, True, "answered")


# How a policy is tested without any of this.


@pytest.fixture
def quiet_hours(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(installed)
    yield importlib.import_module("quiet_hours")
    monkeypatch.delitem(sys.modules, "quiet_hours")


@pytest.mark.parametrize(
    ("begin", "end", "now", "quiet"),
    [
        ("22:00", "06:00", "21:59", False),
        ("22:00", "06:00", "22:00", True),
        ("22:00", "06:00", "00:00", True),
        ("22:00", "06:00", "06:00", False),
        ("12:00", "13:00", "12:59", True),
        ("12:00", "13:00", "13:00", False),
    ],
)
def test_the_pure_part(quiet_hours: Any, begin: str, end: str, now: str, quiet: bool) -> None:
    at = [datetime.strptime(text, "%H:%M").time() for text in (now, begin, end)]
    assert quiet_hours.is_quiet(*at) is quiet


@pytest.mark.parametrize(("role", "refused"), [("User", True), ("OrgAdmin", False)])
def test_the_hook(quiet_hours: Any, role: str, refused: bool) -> None:
    settings = quiet_hours.QuietHoursSettings.model_validate(
        {"from": "22:00", "until": "06:00", "except_roles": ["OrgAdmin"]}
    )
    clock = datetime(2030, 1, 1, 23, 30, tzinfo=UTC).timestamp
    policy = quiet_hours.QuietHours.build(settings, Surroundings(Catalogue(), clock))
    exchange = Exchange("1", Request("POST", "/v1/chat/completions", "", "gateway", "https", Headers(()), "r"))
    exchange.put(Identity("tenant", "user", "app", CallerKind.USER, roles=frozenset({role})))
    outcome = policy.on_request_headers(exchange)
    if refused:
        assert isinstance(outcome, Reject)
        assert (outcome.code, outcome.retry_after) == ("quiet_hours", 6.5 * 3600)
    else:
        assert outcome is CONTINUE
    assert exchange.need(quiet_hours.Quiet) == quiet_hours.Quiet("23:30", True)
