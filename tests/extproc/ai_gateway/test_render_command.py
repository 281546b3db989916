"""`sluicegate render`: which profile, and which options are for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from extproc.cli.app import run
from tests.servers import REPOSITORY

EXAMPLE = REPOSITORY / "examples/ai-gateway.yaml"
PLAIN = REPOSITORY / "examples/prices.yaml"
AZURE = REPOSITORY / "examples/azure-openai.yaml"


def rendered(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, object]]:
    """What it prints, as documents."""
    status = run(["render", *map(str, arguments)], plugins=())
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    return list(yaml.safe_load_all(printed.out))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What it says when it refuses a command line."""
    assert run(["render", *map(str, arguments)], plugins=()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_the_configuration_says_which_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert rendered(capsys, EXAMPLE)[0]["kind"] == "GatewayClass"
    assert "static_resources" in rendered(capsys, PLAIN)[0]


def test_or_a_word_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "static_resources" in rendered(capsys, "plain", EXAMPLE)[0]
    assert "static_resources" in rendered(capsys, "plain", "--admin", "127.0.0.1:9", PLAIN)[0]
    assert rendered(capsys, "ai-gateway", PLAIN)[0]["kind"] == "GatewayClass"


def test_a_configuration_may_be_called_like_a_profile(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ai-gateway").write_bytes(PLAIN.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "static_resources" in rendered(capsys, "ai-gateway")[0]


def test_names_and_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--standalone", "--name", "llm", "-n", "edge", "--envoy-version", "1.38.3")
    made = rendered(capsys, *options, EXAMPLE)
    proxy = next(document for document in made if document["kind"] == "EnvoyProxy")
    assert proxy["metadata"] == {"name": "llm", "namespace": "edge"}
    assert proxy["spec"]["provider"] == {"type": "Host", "host": {"envoyVersion": "1.38.3"}}  # type: ignore[index]


def test_a_service(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(EXAMPLE.read_text("utf-8").replace("unix:/run/sluicegate/policy.sock", "0.0.0.0:50051"), "utf-8")
    assert "name: deciders" in yaml.safe_dump(rendered(capsys, "--service", "deciders", config))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ai-gateway",), "expected a configuration after ai-gateway"),
        (("kubernetes", PLAIN), "expected plain or ai-gateway before the configuration, not kubernetes"),
        (("plain", "ai-gateway", PLAIN), "expected plain or ai-gateway before the configuration"),
        (("--standalone", PLAIN), "this is for the profile ai-gateway"),
        (("plain", "--name", "x", PLAIN), "this is for the profile ai-gateway"),
        (("ai-gateway", "--admin", "127.0.0.1:9901", PLAIN), "this is for the profile plain"),
        (("--secrets", "/nowhere", EXAMPLE), "this is for the profile plain"),
    ],
)
def test_what_makes_no_sense(words: tuple[str | Path, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in " ".join(refused(capsys, *words).split())


def test_what_does_not_fit_is_told_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "ai-gateway", AZURE)
    line = next(number for number, text in enumerate(AZURE.read_text("utf-8").splitlines(), 1) if "name: files" in text)
    assert f"{AZURE}:{line}: opaque[0]: AI Gateway answers 404 to /v1/files" in said
