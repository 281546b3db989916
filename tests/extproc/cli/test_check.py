from __future__ import annotations

from pathlib import Path

import pytest

from extproc.assembly import examine
from extproc.cli.app import run
from extproc.cli.check import summary
from extproc.cli.loading import read_for_serving
from extproc.cli.references import missing, references
from extproc.embedded.stack import DEMO
from extproc.mistakes import ConfigurationError
from extproc.settings import parse
from tests.certificates import Authority

DEFECTS = Path(__file__).parents[2] / "fixtures" / "config"

MORE = ("more", "may follow when these are mended")
# The name of the file is the defect. For each mistake: how its line goes on after the file's name, and a word that helps.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "control_characters": [("1: listen.address: ", "an IP address"), ("2: up\\x1b[31mstreams: ", "mean 'upstreams'?")],
    "duplicate_key": [(" line 6, column 1: ", "'policies' stands twice")],
    "empty": [(" ", "expected a mapping")],
    "empty_list_of_policies": [("1: policies: ", "at least 1")],
    "four_mistakes": [
        ("3: listen.port: ", "'-1'"),
        ("2: upstreams[0].provider: ", "openai, azure or anthropic (found 'open-ai')"),
        ("2: upstreams[0].models: ", "at least 1"),
        ("4: limits: ", "unknown key"),
        MORE,
    ],
    "graph_as_audience": [("4: policies[0].settings.audiences[0]: ", "Graph"), MORE],
    "identity_fails_open": [("2: policies[0]: ", "cannot be `failure: open`")],
    "key_that_is_no_string": [(" ", "text as a key")],
    "mistakes_in_every_phase": [
        ("2: listen.prot: ", "did you mean 'port'?"),
        ("5: upstreams[1].name: ", "'local' stands at upstreams[0] already"),
        ("7: opaque[0].upstream: ", "no upstream 'locla' (did you mean 'local'?)"),
        ("12: policies[0].settings.permissions: ", "expected a mapping"),
        ("13: policies[0].settings.roles.User: ", "expected a list of permissions"),
        ("17: policies[1].settings.tenants[0]: ", "expected {id: GUID, name: …}"),
        ("9: policies: ", "access needs Identity"),
        MORE,
    ],
    "mistakes_in_two_policies": [
        ("3: policies[0].settings.audiences: ", "missing"),
        ("4: policies[0].settings.audience: ", "unknown key (did you mean 'audiences'?)"),
        ("7: policies[1].settings.role: ", "unknown key (did you mean 'roles'?)"),
        MORE,
    ],
    "mistakes_inside_and_outside_of_a_policy": [
        ("1: listen.port: ", "'-1'"),
        ("2: limits: ", "unknown key"),
        ("5: policies[0].settings.audiences: ", "missing"),
        ("6: policies[0].settings.audience: ", "unknown key"),
        MORE,
    ],
    "misspelt_policy": [("2: policies[0].policy: ", "did you mean 'entra'?"), MORE],
    "misspelt_section": [("1: upstream: ", "unknown key (did you mean 'upstreams'?)")],
    "misspelt_setting_of_a_policy": [
        ("3: policies[0].settings.audiences: ", "missing"),
        ("4: policies[0].settings.audience: ", "unknown key"),
        MORE,
    ],
    "no_policies": [(" policies: ", "missing"), MORE],
    "not_a_mapping": [(" ", "expected a mapping")],
    "not_utf8": [(" ", "not UTF-8")],
    "not_yaml": [(" ", "line 2, column 1")],
    "opaque_route_to_nowhere": [("4: opaque[0].upstream: ", "no upstream 'remote'"), MORE],
    "permission_that_there_is_not": [("11: policies[1].settings.roles.User: ", "did you mean 'query_kb'?")],
    "policies_in_the_wrong_order": [("1: policies: access ", "needs Identity")],
    "policy_twice": [("6: policies[1].policy: ", "'entra' stands at policies[0] already")],
    "port_is_a_word": [("1: listen.port: ", "whole number (found 'http')")],
    "port_out_of_range": [("1: listen.port: ", "at most 65535")],
    "secret_from_two_sources": [("2: upstreams[0].credential: ", "exactly one of `env` and `file`"), MORE],
    "secret_in_the_file": [("2: upstreams[0].credential: ", "expected {env: NAME} or {file: PATH}, never"), MORE],
    "tenant_by_name": [("5: policies[0].settings.tenants[0].id: ", "expected a GUID"), MORE],
    "unknown_embedded_server": [
        ("2: upstreams[0].url: embedded://llama/v1: ", "starts only identity, journal, ledger, simulator, valkey")
    ],
    "unknown_provider": [("2: upstreams[0].provider: ", "'open-ai'"), MORE],
    "upstream_name_twice": [("3: upstreams[1].name: ", "'local' stands at upstreams[0] already"), MORE],
    "url_with_password": [("2: upstreams[0].url: ", "use `credential`"), MORE],
    "url_without_scheme": [("2: upstreams[0].url: ", "https://"), MORE],
    "wildcard_origin": [("1: listen.cors: ", "not a wildcard")],
    "yaml_that_runs_code": [(" ", "python/object/apply")],
}


def test_every_file_has_its_place_in_the_table() -> None:
    assert {path.stem for path in DEFECTS.glob("*.yaml")} == set(MISTAKES)


@pytest.mark.parametrize("defect", sorted(MISTAKES))
def test_every_mistake_is_a_line_with_its_path(defect: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(DEFECTS / f"{defect}.yaml")], plugins=()) == 2
    written = capsys.readouterr()
    assert written.out == ""
    lines = written.err.splitlines()
    assert len(lines) == len(MISTAKES[defect]), lines
    for line, (beginning, word) in zip(lines, MISTAKES[defect], strict=True):
        place = "" if beginning == "more" else f"{DEFECTS / defect}.yaml:"
        assert line.startswith(f"sluicegate: {place}{beginning}")
        assert word in line
        assert line.isprintable()


@pytest.mark.parametrize(("defect", "secret"), [("secret_in_the_file", "sk-live"), ("url_with_password", "hunter2")])
def test_no_secret_is_repeated(defect: str, secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(DEFECTS / f"{defect}.yaml")], plugins=()) == 2
    assert secret not in capsys.readouterr().err


def test_the_demo_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(DEMO)], plugins=()) == 0
    written = capsys.readouterr()
    assert written.out == f"{DEMO}: right (5 policies, 2 upstreams, 1 agent)\n"
    assert written.err == ""


def test_a_file_that_there_is_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["check", str(tmp_path / "none.yaml")], plugins=()) == 2
    assert capsys.readouterr().err == f"sluicegate: {tmp_path}/none.yaml: No such file or directory\n"


def test_what_is_not_there_yet_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        """
upstreams:
  - {name: a, provider: openai, url: "https://a.example/v1", models: [m], credential: {env: SURELY_NOT_SET}}
policies:
  - policy: entra
    settings:
      audiences: [api://x]
      tenants: [{id: 16223b5e-7f36-5850-bda3-09553ced0b0e}]
"""
    )
    assert run(["check", str(path)], plugins=()) == 0
    written = capsys.readouterr()
    assert written.err.splitlines() == [
        f"warning: {path}:3: upstreams[0].credential.env: the environment variable SURELY_NOT_SET is not set",
        f"warning: {path}:4: policies: nothing limits who may use what: the policy `access` is not in the list",
    ]
    assert written.out == f"{path}: right (1 policy, 1 upstream)\n"


def test_references(tmp_path: Path) -> None:
    here = tmp_path / "key"
    here.write_text("secret")
    tree = {
        "listen": {"tls": {"certificate": "/nowhere/tls.crt", "key": str(here)}},
        "server": {"tls": {"client_ca": "/nowhere/ca.crt", "envoy": {"certificate": "/on/another/machine"}}},
        "upstreams": [{"credential": {"env": "SET"}}, {"credential": {"env": "EMPTY"}}, {"credential": {"env": 7}}],
        "policies": [{"settings": {"graph": {"secret": {"file": "/nowhere/secret"}}, "deep": [[{"env": "UNSET"}]]}}],
    }
    assert len(list(references(tree))) == 7
    assert list(missing(tree, {"SET": "x", "EMPTY": ""})) == [
        "listen.tls.certificate: the file /nowhere/tls.crt cannot be read",
        "server.tls.client_ca: the file /nowhere/ca.crt cannot be read",
        "upstreams[1].credential.env: the environment variable EMPTY is not set",
        "policies[0].settings.graph.secret.file: the file /nowhere/secret cannot be read",
        "policies[0].settings.deep[0][0].env: the environment variable UNSET is not set",
    ]


@pytest.mark.parametrize(
    ("days", "misfit", "line", "words"),
    [
        (-1, False, 4, "server.tls: {folder}/server.pem has expired: it was valid until "),
        (1, True, 4, "server.tls: {folder}/other-key.pem is not the key of {folder}/server.pem"),
        (1, None, 6, "server.tls.key: the file {folder}/none cannot be read"),
    ],
)
def test_certificates_that_the_policy_server_could_not_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, misfit: bool | None, line: int, words: str
) -> None:
    """`check` may run elsewhere, so it warns; `serve` does not begin."""
    authority = Authority(tmp_path, "ours")
    server, other = authority.sign("server", "policy.internal", days=days), authority.sign("other", "policy.internal")
    key = {True: other.key, False: server.key, None: f"{tmp_path}/none"}[misfit]
    path = tmp_path / "c.yaml"
    path.write_text(
        f"""
server:
  listen: 127.0.0.1:0
  tls:
    certificate: {server.certificate}
    key: {key}
    client_ca: {authority.path}
    envoy: {{certificate: c, key: k, ca: a, server_name: policy.internal}}
policies:
  - policy: entra
    settings:
      audiences: [api://x]
      tenants: [{{id: 16223b5e-7f36-5850-bda3-09553ced0b0e}}]
"""
    )
    assert run(["check", str(path)], plugins=()) == 0
    warned, _ = capsys.readouterr().err.splitlines()
    assert warned.startswith(f"warning: {path}:{line}: {words.format(folder=tmp_path)}")
    with pytest.raises(ConfigurationError) as caught:
        read_for_serving(path)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{path}:4: server.tls: {tmp_path}/")


def test_what_follows_from_another_mistake_is_not_reported() -> None:
    """An access rule about an agent is not wrong because the agent's own entry is."""
    tree = {
        "agents": [{"name": "kb", "url": "nonsense"}],
        "policies": [{"policy": "access", "settings": {"permissions": {"p": {"agents": ["kb"]}}, "roles": {}}}],
    }
    with pytest.raises(ConfigurationError) as caught:
        examine(tree)
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == ["agents[0].url", "policies"]
    assert caught.value.more


def test_summary_counts_in_words() -> None:
    assert summary(parse({"policies": [{"policy": "entra"}]})) == "1 policy"
