"""The Dockerfile as a text: how it is read, and what it says."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from k8s.image.building import Context
from k8s.image.dockerfile import Copy, DockerfileError, Stage, admitted, assigned, copied, executable, parse

ROOT = Path(__file__).resolve().parents[2]
IGNORE = (ROOT / ".dockerignore").read_text("utf-8")


@pytest.fixture(scope="module")
def stages() -> tuple[Stage, ...]:
    return parse((ROOT / "Dockerfile").read_text("utf-8"))


def test_stages_and_continued_lines() -> None:
    text = "ARG A=x:1\n\n# ARG B\nFROM ${A} AS one\nRUN a \\\n    # why\n    && b\nFROM y\nCOPY --from=one /a /b\n"
    one, two = parse(text, {"A": "z@sha256:0"})
    assert (one.base, one.name, one.last("RUN")) == ("z@sha256:0", "one", "a && b")
    assert (two.base, two.name, copied(two.last("COPY"))) == ("y", "", Copy("one", ("/a",), "/b"))


@pytest.mark.parametrize(
    "text",
    ["", "RUN a", "FROM a\nADD b c", "FROM a\nrun b", "FROM a AS", "FROM ${A}", "FROM $A", "FROM a\nSHELL x", "ARG A=1"],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        parse(text)


@pytest.mark.parametrize("rest", ["a", "--chown=1:1 a b", "--from=x --chmod=1 a b", "*.py a", '["a", "b"]', "--link a b"])
def test_copies_that_are_not_understood_are_refused(rest: str) -> None:
    with pytest.raises(DockerfileError):
        copied(rest)


def test_copies() -> None:
    assert copied("a b c/") == Copy(None, ("a", "b"), "c/")


def test_variables() -> None:
    assert assigned('A=1 B="x ${A} y"', {"A": "2"}) == {"A": "1", "B": "x 2 y"}
    for rest in ("A", "A=${B}", "A=$B"):
        with pytest.raises(DockerfileError):
            assigned(rest, {})


def test_commands_have_the_form_without_a_shell() -> None:
    assert executable('--interval=1s CMD ["a", "b c"]') == ["a", "b c"]
    for rest in ("a b", '["a", 1]', "[a]"):
        with pytest.raises(DockerfileError):
            executable(rest)


@pytest.mark.parametrize(
    ("path", "let_in"),
    [
        ("a", True),
        ("b", False),
        ("a/c/d.py", True),
        ("x/a", False),
        ("a/__pycache__/d.pyc", False),
        ("k/one.lock", True),
        ("k/one.py", False),
    ],
)
def test_what_is_ignored(path: str, let_in: bool) -> None:
    assert admitted(path, "# all\n*\n!a\n!k/*.lock\n\n**/__pycache__\n") is let_in


def test_nothing_but_what_is_copied_gets_into_the_build(stages: tuple[Stage, ...]) -> None:
    said = [copied(one.rest) for stage in stages for one in stage.instructions if one.word == "COPY"]
    sources = [source for one in said if one.stage is None for source in one.sources]
    context = Context(ROOT, IGNORE)
    assert [source for source in sources if not list(context.files(source))] == []
    assert not admitted(".git/config", IGNORE)
    assert not admitted("secrets.env", IGNORE)
    assert not admitted("extproc/wire/__pycache__/blocks.pyc", IGNORE)
    allowed = [line.removeprefix("!") for line in IGNORE.splitlines() if line.startswith("!")]
    assert {line for line in allowed if line not in sources} == {"k8s/image/*.lock"}


def test_the_last_stage_installs_nothing_and_is_nobodys(stages: tuple[Stage, ...]) -> None:
    *_, last = stages
    steps = " ".join(one.rest for one in last.instructions if one.word == "RUN")
    assert not any(word in steps for word in ("install", "apt", "curl", "wget", "gcc"))
    user, _, group = last.last("USER").partition(":")
    assert user == group == str(int(user)) != "0"
    assert last.last("STOPSIGNAL") == "SIGTERM"
    assert executable(last.last("ENTRYPOINT")) == ["sluicegate"]
    assert executable(last.last("HEALTHCHECK"))[:2] == ["sluicegate", "status"]


@pytest.mark.parametrize(("asked", "installed"), [("1", True), ("0", False), ("", False)])
def test_a_compiler_is_installed_to_compile_and_for_nothing_else(
    stages: tuple[Stage, ...], tmp_path: Path, asked: str, installed: bool
) -> None:
    said, program = tmp_path / "said", tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    program.chmod(0o755)
    (step,) = [one.rest for one in stages[0].instructions if one.word == "RUN" and "apt-get" in one.rest]
    variables = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "COMPILE": asked}
    subprocess.run(["/bin/sh", "-c", step], env=variables, check=True)
    assert said.exists() is installed
    if installed:
        assert said.read_text().splitlines() == ["update", "install --yes --no-install-recommends gcc libc6-dev"]


def test_the_image_is_compiled_unless_another_is_asked_for(stages: tuple[Stage, ...]) -> None:
    assert [one.rest for one in stages[0].instructions if one.word == "ARG"] == ["COMPILE=1"]


def test_both_stages_begin_with_one_python_that_can_be_pinned(stages: tuple[Stage, ...]) -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    (base,) = {stage.base for stage in stages}
    assert base == "python:3.13-slim-trixie"
    pinned = f"{base}@sha256:{'0a' * 32}"
    assert {stage.base for stage in parse(text, {"PYTHON": pinned})} == {pinned}


def test_its_version_is_the_projects(stages: tuple[Stage, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    arguments = [one.rest for one in stages[-1].instructions if one.word == "ARG"]
    assert f"VERSION={project['version']}" in arguments
    labels = assigned(stages[-1].last("LABEL"), {"VERSION": project["version"], "REVISION": "r"})
    assert {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()} == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
        "version": project["version"],
        "revision": "r",
    }
