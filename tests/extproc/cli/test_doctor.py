"""`sluicegate doctor`: where it looks, what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.cli.app import run
from extproc.embedded.ports import free_port
from tests.extproc.doctor.broken import plain
from tests.servers import HOST, running_envoy


def written(path: Path, **manager: Any) -> Path:
    tree = plain()
    tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"].update(manager)
    path.write_text(json.dumps(tree))
    return path


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return written(tmp_path / "right.json")


@pytest.fixture
def warned(tmp_path: Path) -> Path:
    return written(tmp_path / "warned.json", merge_slashes=True)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return written(tmp_path / "wrong.json", merge_slashes=True, preserve_external_request_id=True)


def test_nothing_found(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(right)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "not looked at: the version of Envoy: a bootstrap does not say it",
        f"{right} (bootstrap): nothing found",
    ]


def test_findings_say_what_where_why_and_the_mend(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(wrong)]) == 1
    told = capsys.readouterr().out
    assert "error     request_id_trusted  listener gateway" in told
    assert "request_id_trusted: preserve_external_request_id: true\n  where: listener gateway\n  why:   The id is" in told
    assert "\n  mend:  `generate_request_id: true`" in told
    assert told.endswith(": 1 error, 1 warning\n")


@pytest.mark.parametrize(("option", "status"), [("error", 0), ("warning", 1)])
def test_from_which_severity_on_it_fails(warned: Path, option: str, status: int) -> None:
    assert run(["doctor", str(warned), "--fail-on", option]) == status


def test_for_programs(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(wrong), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["source"], told["kind"]) == (str(wrong), "bootstrap")
    assert [(each["code"], each["severity"]) for each in told["findings"]] == [
        ("request_id_trusted", "error"),
        ("path_rewritten", "warning"),
    ]
    assert set(told["findings"][0]) == {"code", "severity", "where", "what", "why", "mend"}


def test_stdin(right: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(right.read_bytes())))
    assert run(["doctor", "-"]) == 0
    assert capsys.readouterr().out.endswith("- (bootstrap): nothing found\n")


def test_a_configuration_says_what_is_expected(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.yaml"
    upstream = {"name": "a", "provider": "openai", "url": "https://api.openai.com/v1", "models": ["gpt-4o"]}
    tree = {"upstreams": [upstream], "policies": [{"policy": "entra"}], "timeouts": {"total": 600}}
    config.write_text(yaml.safe_dump(tree))
    assert run(["doctor", str(right), "--config", str(config)]) == 1
    assert "timeout: 180s; the configuration allows 600s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nowhere/dump.json", "/nowhere/dump.json: No such file or directory"),
        ("unix:/nowhere/admin.sock", "unix:/nowhere/admin.sock: no Envoy answers there"),
        ("127.0.0.1:1", "127.0.0.1:1: no Envoy answers there"),
        ("{tmp}", "Is a directory"),
        ("{tmp}/binary", "not UTF-8"),
        ("{tmp}/words", "neither a config dump"),
    ],
)
def test_what_cannot_be_read(source: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "words").write_text("words")
    assert run(["doctor", source.format(tmp=tmp_path)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_without_a_source_it_is_the_envoy_of_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--state", str(tmp_path)]) == 2
    assert "`sluicegate up` makes it" in capsys.readouterr().err
    sockets = tmp_path / "elsewhere"
    sockets.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "sockets").symlink_to(sockets)
    assert run(["doctor", "--state", str(tmp_path)]) == 2
    assert f"unix:{sockets}/admin.sock: no Envoy answers there" in capsys.readouterr().err


def test_of_ai_gateway_it_is_the_port_that_the_log_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listen = {"address": HOST, "port": free_port()}
    tree = plain(listen=listen)
    del tree["admin"]
    for name in ("elsewhere", "run", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "sockets").symlink_to(tmp_path / "elsewhere")
    with running_envoy(tree) as envoy:
        said = f"Envoy AI Gateway listening on http://localhost:1 (admin http://localhost:{envoy.admin}) after 5.9s\n"
        (tmp_path / "logs" / "aigw.log").write_text(said)
        status = run(["doctor", "--state", str(tmp_path)])
        assert (status, capsys.readouterr().out) == (0, f"{HOST}:{envoy.admin} (config dump): nothing found\n")
        # It is compared with what `sluicegate up` runs, which may wait for longer than this Envoy.
        upstream = {"name": "a", "provider": "openai", "url": "https://api.openai.com/v1", "models": ["gpt-4o"]}
        runs = {"upstreams": [upstream], "policies": [{"policy": "entra"}], "timeouts": {"total": 600}}
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(runs))
        assert run(["doctor", "--state", str(tmp_path)]) == 1
        assert "timeout: 180s; the configuration allows 600s" in capsys.readouterr().out


def test_an_envoy_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    tree = plain(listen={"address": HOST, "port": free_port()})
    del tree["admin"]
    with running_envoy(tree) as envoy:
        status = run(["doctor", f"{HOST}:{envoy.admin}"])
    assert (status, capsys.readouterr().out) == (0, f"{HOST}:{envoy.admin} (config dump): nothing found\n")
