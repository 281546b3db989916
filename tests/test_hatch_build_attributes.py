"""What compiled code remembers of attributes (`hatch_build.h`) is what Python finds; every place that asks remembers."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from pydantic import BaseModel

import hatch_build
from hatch_build import CompilerMissingError, compile_into, modules, remembering

PLACED = (msgspec.Struct, BaseModel, BaseException, Enum, Protocol)
"""What is one of these has a dictionary beside its places, or is not asked with every request."""
ATTRIBUTES = '''"""Places that ask for attributes, in loops: what was remembered is asked for again."""

import msgspec


class Slotted:
    __slots__ = ("call", "gone", "value")
    shared = "of the class"

    def __init__(self, value):
        self.value = value
        self.call = str

    def own(self):
        return "own", self.value


class Other:
    __slots__ = ("filler", "value")

    def __init__(self, value):
        self.value = value

    def own(self):
        return "other", self.value


class Child(Slotted):
    """Has a dictionary."""


class Struct(msgspec.Struct):
    filler: int = 0
    value: object = None


class Frozen(msgspec.Struct, frozen=True):
    value: object = None


class Computed:
    @property
    def value(self):
        return "computed"

    def __getattr__(self, name):
        return name


def read(one):
    return one.value


def missing(one):
    try:
        return one.gone
    except AttributeError as error:
        return str(error)


def write(one, value):
    try:
        one.value = value
    except AttributeError as error:
        return str(error)
    return one.value


def remove(one):
    del one.value


def invoke(one):
    try:
        return one.own()
    except (AttributeError, TypeError) as error:
        return type(error).__name__


def call(one, value):
    return one.call(value)


def shared(one):
    return one.shared


def computed(self):
    return "a property"


def seen():
    """What is found in all kinds of objects, and after changes of their types."""
    objects = [Slotted(1), Other(2), Child(3), Struct(4, 5), Frozen(6), Computed()]
    for _ in range(100):
        for one in objects:
            yield read(one)
            yield invoke(one)
            yield missing(one)
            yield write(one, one)
    for one in objects:
        for _ in range(5):
            yield read(one) is one
    first, child = Slotted([]), Child("x")
    for _ in range(5):
        yield invoke(first), shared(first), call(first, 7), invoke(child)
    child.own = lambda: "of the object"
    yield invoke(child)
    first.call = repr
    yield call(first, "7")
    Slotted.own = lambda self: ("changed", self.value)
    Slotted.shared = "changed"
    yield invoke(first), shared(first), invoke(child)
    del Slotted.own
    yield invoke(first)
    kept = Slotted.value
    for _ in range(3):
        yield read(first)
    Slotted.value = property(computed)
    yield read(first), write(first, 8)
    Slotted.value = kept
    yield read(first), write(first, 9)
    remove(first)
    for _ in range(3):
        yield missing(first)
        try:
            yield read(first)
        except AttributeError as error:
            yield str(error)
    yield write(first, 10)
    first.gone = "here"
    yield missing(first)
    changing = Computed()
    changing.__class__ = Plain
    yield read(changing), invoke(changing), write(changing, 11)


class Plain:
    value = "of the class"

    def own(self):
        return "plain"


class Told:
    """Writes to what is being written, when it goes."""

    def __init__(self, of):
        self.of = of

    def __del__(self):
        yielded.append(read(self.of))


yielded = []


def replaced():
    one = Slotted(None)
    for number in range(5):
        one.value = Told(one)
        one.value = number
    return yielded
'''
ALIKE = """
import importlib.util, gc, sys
from package import module as compiled
assert compiled.__file__.endswith(".so"), compiled.__file__
spec = importlib.util.spec_from_file_location("package.module", sys.argv[1])
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
def told(values):
    return [str(value).split(" object at ")[0] for value in values]
one, other = told(compiled.seen()), told(plain.seen())
assert one == other, [pair for pair in zip(one, other) if pair[0] != pair[1]][:5]
assert len(one) > 2_400
assert compiled.replaced() == plain.replaced() == [0, 1, 2, 3, 4]
# No reference is kept or lost.
value = object()
thing, before = compiled.Slotted(value), sys.getrefcount(value)
for _ in range(1_000):
    compiled.read(thing), compiled.write(thing, value), compiled.invoke(compiled.Other(value))
assert sys.getrefcount(value) == before
print("alike")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one module, which asks for attributes."""
    root = tmp_path / "tree"
    (root / "package").mkdir(parents=True)
    (root / "package" / "module.py").write_text(ATTRIBUTES)
    (root / "pyproject.toml").write_text('[tool.sluicegate.compiled]\npackage = ["module"]\n')
    return root


def test_what_a_class_of_them_holds_has_a_place() -> None:
    """Without `__slots__` an attribute is in a dictionary, and where it is cannot be remembered (`hatch_build.h`)."""
    loose = []
    for path in modules():
        module = importlib.import_module(path.removesuffix("/__init__.py").removesuffix(".py").replace("/", "."))
        for name, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == module.__name__ and "__dict__" in dir(found) and not issubclass(found, PLACED):
                loose.append(f"{path}: {name}")
    assert not loose


def test_what_is_remembered_of_attributes_is_what_python_finds(tree: Path, tmp_path: Path) -> None:
    source, out = tree / "package" / "module.py", tmp_path / "out"
    compile_into(out, tree)
    (out / "package" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", ALIKE, str(source)], cwd=out, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("alike\n", "")


def test_every_place_that_asks_for_an_attribute_remembers(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def look(made: Sequence[Any], _: Sequence[str]) -> None:
        written.extend(Path(source).read_text("utf-8") for each in made for source in each.sources)
        raise CompilerMissingError

    monkeypatch.setattr(hatch_build, "_build", look)
    with pytest.raises(CompilerMissingError):
        compile_into(tmp_path / "out", tree)
    (text,) = written
    code = text.partition("Code section: module_code")[2].partition("Code section: module_exttypes")[0]
    assert code.count("SLUICE_READ_ATTRIBUTE(") >= 5
    assert code.count("SLUICE_WRITE_ATTRIBUTE(") >= 5
    assert code.count("SLUICE_INVOKE_METHOD(") >= 2
    assert not re.search("__Pyx_PyObject_(Get|Set)AttrStr|__Pyx_PyObject_FastCallMethod", code)


def test_what_another_cython_writes_is_refused() -> None:
    with pytest.raises(ValueError, match="in another order"):
        remembering("int main(void) { return 0; }")
