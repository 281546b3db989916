"""`sluicegate serve`: what it writes, and what it asks for before it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from extproc.chain import PolicyStartError
from extproc.cli import loading
from extproc.cli.app import run
from extproc.embedded.ports import free_port
from extproc.mistakes import ConfigurationError

NO_ACCESS = """
server: {{listen: "127.0.0.1:0"}}
upstreams:
  - {{name: a, provider: openai, url: "https://a.example/v1", models: [m], credential: {{env: SURELY_NOT_SET}}}}
policies:
  - policy: entra
    settings:
      audiences: [api://x]
      tenants: [{{id: 16223b5e-7f36-5850-bda3-09553ced0b0e}}]
      fetch_from: http://127.0.0.1:{port}
      graph: {{client_id: 16223b5e-7f36-5850-bda3-09553ced0b0e, secret: {{{secret}}}}}
"""


def test_everything_it_writes_is_json_lines_on_stdout(tmp_path: Path) -> None:
    """Keys cannot be fetched, and the configuration is doubtful: there is something to complain of."""
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "c.yaml"
    config.write_text(NO_ACCESS.format(port=free_port(), secret=f"file: {tmp_path}/secret"))
    program = (sys.executable, "-m", "extproc.cli", "serve", str(config))
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        records = []
        try:
            for line in process.stdout:
                records.append(json.loads(line))
                events = {record["event"] for record in records}
                if "listening" in events and any(record.get("logger", "").startswith("policies.") for record in records):
                    break
        finally:
            process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
    records += [json.loads(line) for line in rest.splitlines()]
    assert errors == ""
    assert process.returncode == 0
    assert any("nothing limits who may use what" in record.get("message", "") for record in records)
    assert records[-1]["event"] == "stopped"


def test_one_process_only_looks_at_a_configuration_when_it_is_told_to_reload(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "c.yaml"
    text = NO_ACCESS.format(port=free_port(), secret=f"file: {tmp_path}/secret")
    config.write_text(text)
    program = (sys.executable, "-m", "extproc.cli", "serve", str(config))
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        records = map(json.loads, process.stdout)
        said = []
        try:
            next(record for record in records if record["event"] == "listening")
            for changed in (text, text.replace("audiences", "audience")):
                config.write_text(changed)
                process.send_signal(signal.SIGHUP)
                said.append(next(record for record in records if record["event"] == "reload_refused")["mistakes"])
        finally:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert "--workers 2" in said[0][0]
    assert any(line.startswith(f"{config}:8: policies[0].settings.audience: ") for line in said[1])


def test_what_is_no_configuration_is_refused_and_the_end_does_not_wait_for_it(tmp_path: Path) -> None:
    """A pipe that nobody writes to made whoever read it wait for ever, also after SIGTERM."""
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "c.yaml"
    text = NO_ACCESS.format(port=free_port(), secret=f"file: {tmp_path}/secret")
    config.write_text(text)
    program = (sys.executable, "-m", "extproc.cli", "serve", str(config))
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        records = map(json.loads, process.stdout)
        said = []
        try:
            next(record for record in records if record["event"] == "listening")
            config.unlink()
            os.mkfifo(config)
            process.send_signal(signal.SIGHUP)
            said += next(record for record in records if record["event"] == "reload_refused")["mistakes"]
            config.unlink()
            config.write_text(text + "#" * 5_000_000)
            process.send_signal(signal.SIGHUP)
            said += next(record for record in records if record["event"] == "reload_refused")["mistakes"]
        finally:
            process.send_signal(signal.SIGTERM)
            killer = threading.Timer(20, process.kill)
            killer.start()
            process.communicate(timeout=30)
            killer.cancel()
    assert process.returncode == 0
    assert said == [f"{config}: not a file", f"{config}: larger than 4 MiB"]


def test_a_configuration_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read more than once: one thing could be judged, and another served."""
    config = tmp_path / "c.yaml"
    config.write_text(NO_ACCESS.format(port=1, secret="file: /dev/null"))
    real = loading.examined

    def examined(*arguments: Any, **options: Any) -> Any:
        found = real(*arguments, **options)
        config.write_text("policies: []")
        return found

    monkeypatch.setattr(loading, "examined", examined)
    with pytest.raises(ConfigurationError, match="it has changed while it was read"):
        loading.read_for_serving(config)


@pytest.mark.parametrize(
    ("server", "arguments", "words"),
    [
        ("transport: grpcio", ["--workers", "2"], "needs `transport: wire`"),
        ("transport: wire, workers: 2", [], "port 0 is any free one"),
        ("transport: wire", ["--workers", "65"], "equal to 64"),
        ("transport: wire", ["--workers", "0"], "equal to 1"),
    ],
)
def test_workers_that_cannot_be(
    server: str, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    listen = '"127.0.0.1:0"' if words.startswith("port") else f'"unix:{tmp_path}/p.sock"'
    text = NO_ACCESS.format(port=1, secret="env: NOT_SET_EITHER")
    config.write_text(text.replace('{listen: "127.0.0.1:0"}', f"{{listen: {listen}, {server}}}"))
    assert run(["serve", str(config), *arguments], plugins=()) == 2
    assert words in capsys.readouterr().err


def test_what_a_policy_lacks_at_the_start_is_said_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise PolicyStartError("policy entra failed to start: OSError")

    monkeypatch.setattr("extproc.serving.serve", fails)
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "c.yaml"
    config.write_text(NO_ACCESS.format(port=1, secret=f"file: {tmp_path}/secret"))
    assert run(["serve", str(config)], plugins=()) == 1
    assert capsys.readouterr().err == "sluicegate: policy entra failed to start: OSError\n"


def test_a_secret_of_a_policy_must_be_there_and_one_of_envoy_need_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(NO_ACCESS.format(port=1, secret="env: NOT_SET_EITHER"))
    assert run(["serve", str(config)], plugins=()) == 2
    where = f"{config}:11: policies[0].settings.graph.secret.env"
    assert capsys.readouterr().err == f"sluicegate: {where}: the environment variable NOT_SET_EITHER is not set\n"


@pytest.mark.parametrize("credential", ["env: SURELY_NOT_SET", "file: /nowhere/key"])
def test_up_starts_nothing_without_its_credentials(
    credential: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    (tmp_path / "secret").write_text("s")
    text = NO_ACCESS.format(port=1, secret=f"file: {tmp_path}/secret").replace("env: SURELY_NOT_SET", credential)
    config.write_text(text)
    assert run(["up", "--state", str(tmp_path / "state"), str(config)], plugins=()) == 2
    written = capsys.readouterr()
    assert written.err.startswith(f"sluicegate: {config}:4: upstreams[0].credential.{credential.partition(':')[0]}: the ")
    assert len(written.err.splitlines()) == 1
    assert "starting" not in written.out
    assert not (tmp_path / "state").exists()
