from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import jwt
import pytest
import yaml
from typer import Typer

from extproc.cli.app import GROUP, run
from extproc.embedded.demo_tokens import GATEWAY
from extproc.embedded.faults import StackError
from extproc.embedded.stack import DEMO
from extproc.mistakes import ConfigurationError

CONTOSO = "16223b5e-7f36-5850-bda3-09553ced0b0e"

limits = Typer(help="Commands of a policy.")


@limits.callback()
def _limits() -> None:
    """What limits there are."""


@limits.command()
def show() -> None:
    print("ten")


faults = Typer()


@faults.callback()
def _faults() -> None:
    """What can go wrong."""


@faults.command()
def fail(kind: str) -> None:
    raise {
        "configuration": ConfigurationError(["a.b: wrong", "c: wrong too"]),
        "stack": StackError("valkey ended with status 1", ("line one", "line \x1b[2J two")),
        "file": FileNotFoundError(2, "No such file or directory", "/nowhere"),
        "os": OSError("out of luck"),
        "interrupt": KeyboardInterrupt(),
    }[kind]


def plugin(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


HERE = __name__


def test_commands_of_policies_are_added(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["limits", "show"], plugins=[plugin("limits", f"{HERE}:limits")]) == 0
    assert capsys.readouterr().out == "ten\n"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module_anywhere:app", "ModuleNotFoundError"),
        (f"{HERE}:nothing_of_that_name", "AttributeError"),
        (f"{HERE}:HERE", "expected a typer.Typer, found str"),
        (f"{HERE}:show", "expected a typer.Typer, found function"),
    ],
)
def test_one_that_cannot_be_had_is_reported_and_the_others_work(
    value: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = [plugin("broken", value), plugin("limits", f"{HERE}:limits")]
    assert run(["--help"], plugins=plugins) == 0
    written = capsys.readouterr()
    assert "limits" in written.out
    assert written.err.startswith(f"sluicegate: the command 'broken' ({value}) is left out: ")
    assert reason in written.err
    assert len(written.err.splitlines()) == 1
    # Who asks for another command has nothing to do with it.
    assert run(["limits", "show"], plugins=plugins) == 0
    assert capsys.readouterr() == ("ten\n", "")
    assert run(["broken", "show"], plugins=plugins) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "status", "lines"),
    [
        ("configuration", 2, ["sluicegate: a.b: wrong", "sluicegate: c: wrong too"]),
        ("stack", 1, ["  line one", "  line \\x1b[2J two", "sluicegate: valkey ended with status 1"]),
        ("file", 1, ["sluicegate: /nowhere: No such file or directory"]),
        ("os", 1, ["sluicegate: out of luck"]),
        ("interrupt", 130, []),
    ],
)
def test_faults_are_lines_and_a_status(
    kind: str, status: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["faults", "fail", kind], plugins=[plugin("faults", f"{HERE}:faults")]) == status
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["up", "--help"], 0),
        (["nonsense"], 2),
        (["up", "--port", "65536"], 2),
        (["up", "--port", "-1"], 2),
        (["up", "--port", "http"], 2),
        (["up", "a.yaml", "b.yaml"], 2),
        (["check"], 2),
        (["serve"], 2),
        (["token"], 2),
        (["token", "--tenant", "contoso"], 2),
        (["token", "--tenant", "contoso", "--user", "u", "--ttl", "1w"], 2),
        (["explain"], 2),
        (["explain", str(DEMO), "--path", "v1"], 2),
        (["explain", str(DEMO), "--header", "no colon"], 2),
        (["explain", str(DEMO), "--body", "@/nowhere/body"], 2),
        (["render", "/nowhere.yaml"], 2),
        (["up", "/nowhere.yaml"], 2),
        (["serve", str(DEMO)], 2),
    ],
)
def test_arguments(
    arguments: list[str],
    status: int,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments, plugins=()) == status
    written = capsys.readouterr()
    assert "Traceback" not in written.err
    assert "\x1b" not in written.out + written.err
    assert bool(written.err) is (status != 0)


def test_every_command_is_listed_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], plugins=()) == 0
    listed = [line.split() for line in capsys.readouterr().out.partition("Commands:")[2].splitlines()[1:]]
    names = [words[0] for words in listed if words]
    assert names == ["up", "demo", "token", "check", "doctor", "explain", "serve", "status", "render", "schema"]
    assert all(len(words) > 3 for words in listed)


def test_serve_says_what_only_up_can_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", str(DEMO)], plugins=()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert all(
        line.startswith(f"sluicegate: {DEMO}:") and line.endswith("only `sluicegate up` starts this") for line in lines
    )
    assert ": upstreams[0].url: embedded://simulator/v1: " in lines[0]


@pytest.mark.parametrize(
    ("arguments", "settlement"), [([], False), (["--workers", "1"], False), (["--workers", "3"], True)]
)
def test_render_for_as_many_workers_as_will_serve(
    arguments: list[str], settlement: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["render", str(DEMO), *arguments], plugins=()) == 0
    clusters = {one["name"]: one for one in yaml.safe_load(capsys.readouterr().out)["static_resources"]["clusters"]}
    assert ("sluicegate_settlement" in clusters) is settlement
    (locality,) = clusters["sluicegate_policy"]["load_assignment"]["endpoints"]
    assert len(locality["lb_endpoints"]) == (3 if settlement else 1)


SECURED = """
server:
  listen: policy.internal:9000
  tls:
    certificate: /p/tls.crt
    key: /p/tls.key
    client_ca: /p/ca.crt
    envoy: {certificate: /e/tls.crt, key: /e/tls.key, ca: /e/ca.crt, server_name: policy.internal}
policies: [{policy: entra}]
"""


def test_render_writes_envoys_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, directory = tmp_path / "c.yaml", tmp_path / "new" / "secrets"
    config.write_text(SECURED)
    assert run(["render", str(config), "--secrets", str(directory)], plugins=()) == 0
    printed = capsys.readouterr().out
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["policy_authority.yaml", "policy_certificate.yaml"]
    for name in names:
        assert yaml.safe_load((directory / name).read_text())["resources"]
        assert f"path: {directory}/{name}" in printed
    assert "/e/tls.key" in (directory / "policy_certificate.yaml").read_text()
    assert "/e/tls.key" not in printed
    assert run(["render", str(config)], plugins=()) == 0
    assert "/e/tls.key" in capsys.readouterr().out


def test_render_says_why_it_writes_no_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(DEMO), "--secrets", str(tmp_path)], plugins=()) == 2
    assert "no `server.tls`" in capsys.readouterr().err
    config = tmp_path / "c.yaml"
    config.write_text(SECURED)
    assert run(["render", str(config), "--secrets", str(config)], plugins=()) == 2
    assert "File exists" in capsys.readouterr().err


def test_render_prints_envoys_bootstrap(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(DEMO), "--admin", "unix:/run/admin.sock"], plugins=()) == 0
    bootstrap = yaml.safe_load(capsys.readouterr().out)
    assert bootstrap["admin"]["address"] == {"pipe": {"path": "/run/admin.sock"}}
    assert bootstrap["static_resources"]["listeners"]


def test_schema_prints_a_json_schema_with_the_settings_of_policies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"], plugins=()) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "audiences" in schema["$defs"]["entra.settings"]["properties"]


def test_token_prints_a_token_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--tenant", "contoso", "--user", "alice", "--role", "User", "--role", "TeamLead", "--ttl", "15m"]
    arguments += ["--department", "research", "--group", "staff", "--state", str(tmp_path)]
    assert run(["token", *arguments], plugins=()) == 0
    written = capsys.readouterr()
    assert written.err == (
        f"warning: made a new key in {tmp_path}; a gateway that is running with another --state will not accept it\n"
    )
    assert written.out.count("\n") == 1
    assert run(["token", *arguments], plugins=()) == 0
    assert capsys.readouterr().err == "", "the key is there now"
    claims = jwt.decode(written.out.strip(), options={"verify_signature": False})
    assert claims["tid"] == CONTOSO
    assert claims["aud"] == GATEWAY
    assert claims["roles"] == ["User", "TeamLead"]
    assert claims["department"] == "research"
    assert len(claims["groups"]) == 1
    assert claims["exp"] - claims["iat"] == 900


def test_token_of_an_application_for_somebody_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--tenant", CONTOSO, "--user", "batch", "--app", "--audience", "api://other", "--state", str(tmp_path)]
    assert run(["token", *arguments], plugins=()) == 0
    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert (claims["tid"], claims["aud"], claims["idtyp"]) == (CONTOSO, "api://other", "app")
    assert not {"scp", "roles"} & set(claims)


def test_output_that_nobody_reads_any_more_is_no_fault(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m extproc.cli schema | head -n 1"
    ended = subprocess.run(("bash", "-c", shell), capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "{\n"
    assert "Traceback" not in ended.stderr
