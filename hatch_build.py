"""Compiles the request path with Cython: the same sources, without the interpreter between them.

    SLUICEGATE_COMPILE=1 pip wheel .        a wheel of this platform, with the modules of `[tool.sluicegate.compiled]`
    python hatch_build.py build/compiled    a copy of this tree with them: what `make test` tests the contract on
    ... --profiled, SLUICEGATE_COMPILE=profiled
                                            the same, laid out by a profile: what `make bench` measures

A profile (GCC's) is made by compiling twice, and serving real requests in between: the extras `embedded` and `bench` are
needed for that, and three minutes more. What hardly ever runs then stands apart from what does, and more of that is in a
processor's caches.

Without SLUICEGATE_COMPILE a wheel is pure Python, and needs no compiler. Nothing is written for Cython's sake: types stay
annotations that it does not read, so that a module means the same either way (docs/decisions/0015-compiled.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
CYTHON: Final = "cython==3.3.1"
"""Pinned: another version writes other C."""
_ASKED: Final = "SLUICEGATE_COMPILE"
# If it read annotations, Cython would cut a 1.5 that is given for an `int` to 1, and refuse subclasses of `str`.
_DIRECTIVES: Final = {"language_level": 3, "annotation_typing": False, "binding": True, "emit_code_comments": False}
_FLAGS: Final = ["-O2", "-g0", "-w"]
_HEADER: Final = ROOT / "hatch_build.h"
_SECTION: Final = "/* #### Code section: {} ### */"
_ASKS: Final = {
    "= __Pyx_PyObject_GetAttrStr(": "= SLUICE_READ_ATTRIBUTE(",
    "= __Pyx_PyObject_FastCallMethod(": "= SLUICE_INVOKE_METHOD(",
    "if (__Pyx_PyObject_SetAttrStr(": "if (SLUICE_WRITE_ATTRIBUTE(",
}
"""What Cython writes where a module asks for an attribute, and what takes its place."""
_PROFILED: Final = "profiled"
_MAKE_PROFILE: Final = ["-fprofile-generate", "-fprofile-update=atomic"]
# What was not met while the profile was made is compiled to be small.
_USE_PROFILE: Final = ["-fprofile-use", "-fprofile-correction", "-Wno-missing-profile"]
_TARGETS: Final = "wire default,wire limits,wire audit,wire cost"
_TRAINING: Final = ("-m", "loadtests.bench", "--quick", "--rounds", "1", "--seconds", "1", "--only", _TARGETS)
_LEFT_OUT: Final = (".*", "build", "dist", "__pycache__", "node_modules", "*.egg-info")


class CompilerMissingError(Exception):
    """Nothing can be compiled here, or not with a profile."""


def modules(root: Path = ROOT) -> list[str]:
    """Paths of the modules to be compiled, from `root`.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    listed: dict[str, list[str]] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["sluicegate"][
        "compiled"
    ]
    paths = [f"{package}/{name}.py" for package, names in listed.items() for name in names]
    for path in paths:
        if not (root / path).is_file():
            raise FileNotFoundError(f"{path} is to be compiled, and is not there")
    return paths


def check_compiler(*, profiled: bool = False) -> None:
    """Raises CompilerMissingError where there is none, or Python's own headers are missing; `profiled`: also where it is
    not GCC."""
    for needed in (Path(sysconfig.get_path("include"), "Python.h"), shutil.which(_compiler())):
        if needed is None or not Path(needed).exists():
            raise CompilerMissingError(
                f"to compile takes a C compiler and Python's headers: {needed or _compiler()} is missing"
            )
    if profiled and not _is_gcc():
        raise CompilerMissingError(f"to compile with a profile takes GCC: {_compiler()} is another compiler")


def compile_into(
    folder: Path,
    root: Path = ROOT,
    *,
    kept: Path | None = None,
    profiled: bool = False,
    training: Sequence[str] = _TRAINING,
) -> list[Path]:
    """Compile the modules of `root` into `folder`, each to its own place in it; what was made, from `folder`.

    Takes a minute or two of two cores. `kept`: a folder of what was compiled before, and need not be again. `profiled`:
    by what Python does when it is called with `training` in a copy of `root`; takes three minutes more.

    Raises:
        CompilerMissingError: nothing can be compiled.
        subprocess.CalledProcessError: the profile could not be made.
    """
    check_compiler(profiled=profiled)
    with tempfile.TemporaryDirectory(prefix="sluicegate-c-") as work:
        kept = Path(work, "kept") if kept is None else kept
        paths = modules(root)
        beside = ""
        if profiled:
            # A profile is of all modules together, and of what was done with them.
            told = [*_MAKE_PROFILE, *_USE_PROFILE, *training, *paths]
            beside = "\0".join([*told, *((root / path).read_text("utf-8") for path in paths)])
        places = {path: kept / _digest(root / path, beside) for path in paths}
        missing = [path for path, place in places.items() if not place.exists()]
        if missing and profiled:
            missing = paths
        if missing:
            _compile(missing, root, Path(work), training if profiled else None)
        found = []
        for path, place in places.items():
            target = Path(path).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
            if path in missing:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(work, "lib", target), place)
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, folder / target)
            found.append(target)
    return found


def _compile(paths: Sequence[str], root: Path, work: Path, training: Sequence[str] | None) -> None:
    """Compile these into `work/lib`."""
    from Cython.Build import cythonize
    from setuptools import Extension

    before = Path.cwd()
    try:
        # Cython names modules by their paths from here.
        os.chdir(root)
        wanted = [Extension(path.removesuffix(".py").replace("/", "."), [path]) for path in paths]
        made = cythonize(
            wanted, build_dir=f"{work}/c", nthreads=os.cpu_count() or 1, quiet=True, compiler_directives=_DIRECTIVES
        )
        # GCC knows what it has profiled by the path of the object, as it is told: the same one twice, from here.
        os.chdir(work)
        for each in made:
            each.sources = [str(Path(source).relative_to(work)) for source in each.sources]
            for source in each.sources:
                Path(source).write_text(remembering(Path(source).read_text("utf-8")), "utf-8")
        if training is None:
            _build(made, [])
            return
        _build(made, _MAKE_PROFILE)
        trained = work / "trained"
        shutil.copytree(root, trained, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        shutil.copytree(work / "lib", trained, dirs_exist_ok=True)
        where = {**os.environ, "PYTHONPATH": str(trained)}
        subprocess.run(
            [sys.executable, *training],
            cwd=trained,
            env=where,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        _build(made, _USE_PROFILE)
    finally:
        os.chdir(before)


def remembering(written: str) -> str:
    """A module as Cython has written it, which remembers where attributes are: see `hatch_build.h`.

    Raises:
        ValueError: this is not what the Cython that is pinned writes.
    """
    declared, first, rest = written.partition(_SECTION.format("late_includes"))
    state, second, rest = rest.partition(_SECTION.format("module_code"))
    code, third, helpers = rest.partition(_SECTION.format("module_exttypes"))
    if not third:
        raise ValueError("Cython has written its sections in another order")
    for asked, told in _ASKS.items():
        code = code.replace(asked, told)
    return "".join([declared, first, "\n", _HEADER.read_text("utf-8"), state, second, code, third, helpers])


def _build(made: Sequence[Any], flags: Sequence[str]) -> None:
    """Compile what Cython has made, with these flags too."""
    from setuptools import setup

    for each in made:
        each.extra_compile_args, each.extra_link_args = [*_FLAGS, *flags], [*flags]
    options = [
        "--quiet",
        "build_ext",
        "--force",
        "--build-lib=lib",
        "--build-temp=o",
        f"--parallel={os.cpu_count() or 1}",
    ]
    setup(name="sluicegate", packages=[], py_modules=[], ext_modules=made, script_args=options)


def _compiler() -> str:
    return os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc").partition(" ")[0]


def _is_gcc() -> bool:
    told = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    return "Free Software Foundation" in told


def _digest(source: Path, beside: str) -> str:
    """A name for what comes of this source, and of what else it depends on: no module is compiled by what stands in
    another, but for a profile."""
    told = [
        source.name,
        source.read_text("utf-8"),
        beside,
        CYTHON,
        repr(_DIRECTIVES),
        repr(_FLAGS),
        repr(_ASKS),
        _HEADER.read_text("utf-8"),
        sys.version,
        sysconfig.get_platform(),
    ]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def copy_compiled(folder: Path, *, profiled: bool = False) -> list[Path]:
    """A copy of this tree in `folder`, in place of what was there, with the compiled modules beside their sources."""
    shutil.rmtree(folder, ignore_errors=True)
    check_compiler(profiled=profiled)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    return compile_into(folder, kept=folder.with_name(f"{folder.name}-modules"), profiled=profiled)


class CompiledHook(BuildHookInterface[Any]):
    """Puts the compiled modules into a wheel, where that is asked for."""

    PLUGIN_NAME = "compiled"

    def _is_asked(self) -> bool:
        return os.environ.get(_ASKED, "") not in {"", "0"}

    def dependencies(self) -> list[str]:
        return [CYTHON, "setuptools>=80"] if self._is_asked() and self.target_name == "wheel" else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self.target_name != "wheel" or not self._is_asked():
            return
        self._made = tempfile.TemporaryDirectory(prefix="sluicegate-compiled-")
        folder = Path(self._made.name)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        profiled = os.environ[_ASKED] == _PROFILED
        for path in compile_into(folder, Path(self.root), profiled=profiled):
            build_data["force_include"][str(folder / path)] = str(path)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_made"):
            self._made.cleanup()


if __name__ == "__main__":
    try:
        made = copy_compiled(Path(sys.argv[1]).absolute(), profiled=sys.argv[2:] == [f"--{_PROFILED}"])
        print(f"compiled {len(made)} modules")  # noqa: T201
    except CompilerMissingError as missing:
        print(missing, file=sys.stderr)  # noqa: T201
        sys.exit(3)
    except subprocess.CalledProcessError as failed:
        print(f"no profile could be made: {failed}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
