"""`sluicegate serve`: what it writes, and what it asks for before it starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from extproc.cli.app import run
from extproc.embedded.ports import free_port

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
