"""Compiles the request path with Cython: the same sources, without the interpreter between them.

    SLUICEGATE_COMPILE=1 pip wheel .        a wheel of this platform, with the modules of `[tool.sluicegate.compiled]`
    python hatch_build.py build/compiled    a copy of this tree with them: what `make bench` measures

Without SLUICEGATE_COMPILE a wheel is pure Python, and needs no compiler. Nothing is written for Cython's sake: types stay
annotations that it does not read, so that a module means the same either way (docs/decisions/0015-compiled.md).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
CYTHON: Final = "cython==3.3.1"
"""Pinned: another version writes other C."""
_ASKED: Final = "SLUICEGATE_COMPILE"
# By annotations Cython would compute with C's numbers, which end.
_DIRECTIVES: Final = {"language_level": 3, "annotation_typing": False, "binding": True, "emit_code_comments": False}
_LEFT_OUT: Final = (".*", "build", "dist", "__pycache__", "node_modules", "*.egg-info")


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


def compile_into(folder: Path, root: Path = ROOT) -> list[Path]:
    """Compile the modules of `root` into `folder`, each to its own place in it; what was made, from `folder`.

    Takes a C compiler and a minute of two cores.
    """
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    jobs = os.cpu_count() or 1
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sluicegate-c-") as work:
        # Cython names modules by their paths from here.
        os.chdir(root)
        try:
            wanted = [
                Extension(path.removesuffix(".py").replace("/", "."), [path], extra_compile_args=["-O2", "-g0", "-w"])
                for path in modules(root)
            ]
            made = cythonize(wanted, build_dir=f"{work}/c", nthreads=jobs, quiet=True, compiler_directives=_DIRECTIVES)
            options = ["--quiet", "build_ext", f"--build-lib={work}/lib", f"--build-temp={work}/o", f"--parallel={jobs}"]
            setup(name="sluicegate", packages=[], py_modules=[], ext_modules=made, script_args=options)
        finally:
            os.chdir(before)
        found = sorted(path.relative_to(f"{work}/lib") for path in Path(work, "lib").rglob("*") if path.is_file())
        for path in found:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(work, "lib", path), folder / path)
    return found


def copy_compiled(folder: Path) -> list[Path]:
    """A copy of this tree in `folder`, in place of what was there, with the compiled modules beside their sources."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    return compile_into(folder)


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
        for path in compile_into(folder, Path(self.root)):
            build_data["force_include"][str(folder / path)] = str(path)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_made"):
            self._made.cleanup()


if __name__ == "__main__":
    print(f"compiled {len(copy_compiled(Path(sys.argv[1]).absolute()))} modules")  # noqa: T201
