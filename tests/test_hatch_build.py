"""Compiling: what is listed is there, a compiled module is the same module, and wheels have it where it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hatch_build
from hatch_build import CompiledHook, CompilerMissingError, compile_into, modules

SOURCE = '''"""A module."""

from __future__ import annotations

import msgspec


class Part(msgspec.Struct, frozen=True):
    whole: int = 2**63


def half(part: Part) -> int:
    return part.whole // 2


async def later(value: int) -> int:
    return value
'''
USE = """
import asyncio, inspect
from package import module
assert module.__file__.endswith(".so"), module.__file__
assert module.half(module.Part(2**80)) == 2**79
assert module.half(module.Part()) == 2**62
assert inspect.isawaitable(waiting := module.later(3)) and asyncio.run(waiting) == 3
print("used")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "package").mkdir(parents=True)
    (root / "package" / "__init__.py").touch()
    (root / "package" / "module.py").write_text(SOURCE)
    (root / "package" / "other.py").write_text("")
    (root / "pyproject.toml").write_text('[tool.sluicegate.compiled]\npackage = ["module"]\n')
    return root


def test_every_module_that_is_listed_is_there() -> None:
    listed = modules()
    assert "extproc/chain.py" in listed
    assert len(listed) == len(set(listed))


def test_a_module_that_is_not_there_is_named(tree: Path) -> None:
    (tree / "pyproject.toml").write_text('[tool.sluicegate.compiled]\npackage = ["module", "gone"]\n')
    with pytest.raises(FileNotFoundError, match=r"package/gone\.py is to be compiled"):
        modules(tree)


def test_a_compiled_module_is_the_same_module(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = compile_into(out, tree)
    assert [path.name.partition(".")[0] for path in made] == ["module"]
    (out / "package" / "__init__.py").touch()
    done = subprocess.run([sys.executable, "-c", USE], cwd=out, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("used\n", "")
    assert Path.cwd() != tree


def test_what_was_compiled_before_is_not_compiled_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    first = compile_into(tmp_path / "first", tree, kept=kept)
    monkeypatch.setattr(hatch_build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert compile_into(tmp_path / "second", tree, kept=kept) == first
    assert (tmp_path / "second" / first[0]).read_bytes() == (tmp_path / "first" / first[0]).read_bytes()
    (tree / "package" / "module.py").write_text(SOURCE + "# changed")
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        compile_into(tmp_path / "third", tree, kept=kept)


def test_a_profile_is_made_with_what_is_compiled_and_leaves_the_same_module(tree: Path, tmp_path: Path) -> None:
    told, out, kept = tmp_path / "told", tmp_path / "out", tmp_path / "kept"
    training = ("-c", f"{USE}open({str(told)!r}, 'a').write(module.__file__ + '\\n')")
    compile_into(out, tree, kept=kept, profiled=True, training=training)
    (out / "package" / "__init__.py").touch()
    done = subprocess.run([sys.executable, "-c", USE], cwd=out, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("used\n", "")
    assert told.read_text().endswith(".so\n")
    compile_into(tmp_path / "again", tree, kept=kept, profiled=True, training=training)
    assert told.read_text().count("\n") == 1
    # A profile is of all modules together: where one changes, it is made anew.
    (tree / "pyproject.toml").write_text('[tool.sluicegate.compiled]\npackage = ["module", "other"]\n')
    compile_into(tmp_path / "more", tree, kept=kept, profiled=True, training=training)
    assert told.read_text().count("\n") == 2


def test_where_no_profile_can_be_made_it_says_so(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        compile_into(tmp_path / "out", tree, profiled=True, training=("-c", "raise SystemExit(1)"))
    other = tmp_path / "other-cc"
    other.write_text("#!/bin/sh\necho another compiler\n")
    other.chmod(0o755)
    monkeypatch.setenv("CC", str(other))
    with pytest.raises(CompilerMissingError, match="takes GCC"):
        compile_into(tmp_path / "out", tree, profiled=True)
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_it_says_so(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompilerMissingError, match="no-such-compiler is missing"):
        compile_into(tmp_path / "out", tree)


@pytest.mark.parametrize(
    ("version", "target", "asked"),
    [("standard", "wheel", None), ("standard", "wheel", "0"), ("editable", "wheel", "1"), ("standard", "sdist", "1")],
)
def test_what_is_not_asked_for_is_not_compiled(
    tree: Path, monkeypatch: pytest.MonkeyPatch, version: str, target: str, asked: str | None
) -> None:
    monkeypatch.delenv("SLUICEGATE_COMPILE", raising=False)
    if asked is not None:
        monkeypatch.setenv("SLUICEGATE_COMPILE", asked)
    data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    hook(tree, target).initialize(version, data)
    assert data == {"force_include": {}, "pure_python": True}


@pytest.mark.parametrize("asked", ["1", "profiled"])
def test_a_wheel_is_profiled_if_that_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("SLUICEGATE_COMPILE", asked)
    said: list[bool] = []

    def compiled(*_: Path, profiled: bool) -> list[Path]:
        said.append(profiled)
        return []

    monkeypatch.setattr(hatch_build, "compile_into", compiled)
    made = hook(tree, "wheel")
    made.initialize("standard", {"force_include": {}})
    made.finalize("standard", {}, "")
    assert said == [asked == "profiled"]


def test_a_wheel_of_this_platform_has_them_beside_their_sources(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICEGATE_COMPILE", "1")
    made = hook(tree, "wheel")
    assert hatch_build.CYTHON in made.dependencies()
    data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    made.initialize("standard", data)
    ((source, place),) = data["force_include"].items()
    assert place.startswith("package/module.")
    assert place.endswith(".so")
    assert Path(source).stat().st_size > 0
    assert (data["pure_python"], data["infer_tag"]) == (False, True)
    made.finalize("standard", data, "")
    assert not Path(source).exists()


def test_what_builds_a_pure_wheel_needs_no_compiler(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICEGATE_COMPILE", raising=False)
    assert hook(tree, "wheel").dependencies() == []


def hook(root: Path, target: str) -> CompiledHook:
    return CompiledHook(str(root), {}, None, None, "", target)  # type: ignore[arg-type]
