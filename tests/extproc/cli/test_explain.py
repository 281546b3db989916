from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer

from extproc.cli.app import run
from extproc.cli.asked import parse_field, request_from
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.stack import DEMO

CHAT = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "the secret prompt"}]}'


@pytest.mark.parametrize(
    ("method", "path", "body", "line"),
    [
        (None, None, None, "GET /v1/models"),
        (None, None, b"{}", "POST /v1/chat/completions"),
        ("delete", "/v1/files/f", None, "DELETE /v1/files/f"),
        (None, "/v1/embeddings", b"{}", "POST /v1/embeddings"),
        ("GET", "/v1/models?x=1?2", b"", "GET /v1/models"),
    ],
)
def test_the_request_line(method: str | None, path: str | None, body: bytes | None, line: str) -> None:
    request = request_from(method=method, path=path, fields=(), token=None, body=body)
    assert f"{request.method} {request.path}" == line
    assert request.query == ("x=1?2" if "?" in (path or "") else "")


def test_header_fields() -> None:
    request = request_from(method=None, path=None, fields=["X-A: 1", "x-a:2"], token="t", body=b"{}")
    assert list(request.headers) == [
        ("x-a", "1"),
        ("x-a", "2"),
        ("authorization", "Bearer t"),
        ("content-type", "application/json"),
        ("content-length", "2"),
    ]
    own = request_from(method=None, path=None, fields=["content-type: text/plain"], token=None, body=b"{}")
    assert own.headers.all("content-type") == ("text/plain",)


@pytest.mark.parametrize("text", ["", "x", ": x", "a b: c", "ä: c", "a\n: c", "authorization Bearer secret"])
def test_what_is_no_field_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        parse_field(text)
    assert caught.value.message == "expected `name: value`"


def explained(
    arguments: list[str], state: Path, capsys: pytest.CaptureFixture[str], config: Path = DEMO
) -> tuple[int, str]:
    status = run(["explain", str(config), "--state", str(state), *arguments], plugins=())
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    ("caller", "arguments", "verdict", "code"),
    [
        (None, [], "reject", "missing_credentials"),
        (Caller("contoso", "a", ("User",)), [], "respond", None),
        (Caller("contoso", "a", ("User",)), ["--body", CHAT], "allow", None),
        (Caller("contoso", "a", ("ReadOnly",)), ["--body", CHAT], "reject", "model_not_allowed"),
        (Caller("elsewhere", "a", ("OrgAdmin",)), ["--body", CHAT], "reject", "invalid_token"),
        (Caller("contoso", "a", ("User",)), ["--path", "/nowhere"], "reject", "unknown_endpoint"),
        (Caller("contoso", "a", ("User",)), ["--path", "/agents/assistant/x", "--method", "PUT"], "allow", None),
    ],
)
def test_verdicts(
    caller: Caller | None,
    arguments: list[str],
    verdict: str,
    code: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if caller is not None:
        arguments = [*arguments, "--token", make_token(tmp_path, caller)]
    status, out = explained([*arguments, "--json"], tmp_path, capsys)
    told = json.loads(out)
    assert (status, told["verdict"], told["code"]) == (0, verdict, code)
    assert "eyJ" not in out
    assert "the secret prompt" not in out


def test_as_a_table_with_the_token_from_stdin_and_the_body_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "body.json").write_text(CHAT)
    token = make_token(tmp_path, Caller("contoso", "alice", ("User",)))
    monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
    status, out = explained(["--token", "-", "--body", f"@{tmp_path}/body.json"], tmp_path, capsys)
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["policy", "phase", "outcome", "why"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["entra", "request_headers", "continue"],
        ["access", "request_headers", "continue"],
        ["cost", "request_headers", "continue"],
        ["access", "request_body", "continue"],
    ]
    assert "permission use_agent through role User" in lines[4]
    assert lines[5].split()[:3] == ["limits", "request_body", "continue"]
    assert "the counters cannot be asked: 3 limits are not judged" in " ".join(lines[5].split()[3:])
    assert lines[7] == "allow, to openai/v1/chat/completions"
    assert "authorization" in next(line for line in lines if line.startswith("  removes "))


def test_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("policies: [{policy: none_of_that_name}]\n")
    assert explained([], tmp_path, capsys, config)[0] == 2


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        (["--as-tenant", "contoso", "--as-role", "User"], "allow"),
        (["--as-role", "User", "--as-app"], "allow"),
        (["--as-role", "ReadOnly"], "reject"),
        (["--as-group", "nobody"], "reject"),
    ],
)
def test_asked_as_somebody_whom_nothing_proves(
    who: list[str], verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected, status in ((verdict, 0), ("respond", 1)):
        arguments = ["explain", str(DEMO), "--state", str(tmp_path), *who, "--body", CHAT, "--expect", expected]
        assert run(arguments, plugins=()) == status
        written = capsys.readouterr()
        lines = written.err.splitlines()
        assert lines[0] == "warning: NO TOKEN WAS LOOKED AT: a stand-in says who is calling, instead of entra"
        assert lines[1:] == ([f"sluicegate: expected respond, and it is {verdict}"] if status else [])
        assert "stand-in" in written.out
        assert "nobody proved this: " in written.out
        assert "\nentra " not in written.out


def test_either_a_token_or_a_stand_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(["--token", "x", "--as-role", "User"], tmp_path, capsys)[0] == 2
    assert explained(["--as-tenant", "nowhere"], tmp_path, capsys)[0] == 2


def test_a_token_of_another_state_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = make_token(tmp_path / "there", Caller("contoso", "alice", ("User",)))
    assert run(["explain", str(DEMO), "--state", str(tmp_path / "here"), "--token", token], plugins=()) == 0
    hint = f"warning: the token's key is not in the state directory {tmp_path / 'here'}: give --state\n"
    assert capsys.readouterr().err == hint


def test_each_step_says_why_and_no_code_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = make_token(tmp_path, Caller("contoso", "alice", ("ReadOnly",), ("staff",)))
    out = explained(["--token", token, "--body", CHAT], tmp_path, capsys)[1]
    first = next(line for line in out.splitlines() if line.startswith("entra "))
    assert "of tenant contoso, roles ReadOnly, 1 groups" in first
    last = next(line for line in out.splitlines() if "reject model_not_allowed" in line)
    assert last.count("model_not_allowed") == 1
