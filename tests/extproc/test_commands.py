"""What commands of policies share, typed as people type it."""

from __future__ import annotations

import errno
import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import pytest
import typer

from extproc.cli.app import GROUP, run
from extproc.commands import STATE, By, OnlyConfigOption, State, named, taking, told, who
from extproc.mistakes import ConfigurationError

app = typer.Typer()


class WrongError(ValueError):
    pass


class FailedError(Exception):
    pass


FAULTS = {
    "none": None,
    "wrong": WrongError("a\x1b"),
    "failed": FailedError("b"),
    "configuration": ConfigurationError(["c", "d"]),
    "more": ConfigurationError(["c"], more=True),
    "file": PermissionError(errno.EACCES, "Permission denied", "e"),
    "stdout": BrokenPipeError(errno.EPIPE, "Broken pipe"),
}


@app.command()
@taking(config=named)
def look(
    *,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT")],
    config: Path | None,
    by: By = None,
    state: State = STATE,
) -> None:
    """Look at it."""
    print(subject, config, by, state)


@app.command("set")
def set_(
    *, subject: str, amount: Annotated[str | None, typer.Argument()] = None, config: OnlyConfigOption = None
) -> None:
    """Set it."""
    print(subject, amount, config)


def size(width: Annotated[int, typer.Option()] = 1, height: Annotated[int, typer.Option()] = 1) -> tuple[int, int]:
    """A width and a height."""
    return width, height


@app.command()
@taking(config=named, area=size)
def several(*, area: tuple[int, int], context: typer.Context, config: Path | None) -> None:
    """Take all sorts."""
    print(area, config, type(context.obj).__name__)


@app.command()
def fail(fault: str) -> None:
    """Go wrong."""
    with told(__name__, wrong=(WrongError,), failed=(FailedError,)):
        logging.getLogger(__name__).error("it has gone wrong")
        error = FAULTS[fault]
        if error is not None:
            raise error


def typed(*words: str) -> int:
    return run(["things", *words], plugins=[EntryPoint("things", f"{__name__}:app", GROUP)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("look", "it"), "it None None .sluicegate"),
        (("look", "it", "c.yaml"), "it c.yaml None .sluicegate"),
        (("look", "it", "--config", "c.yaml"), "it c.yaml None .sluicegate"),
        (("look", "--config=c.yaml", "it", "--by", "kim", "--state", "s"), "it c.yaml kim s"),
        (("set", "it", "c.yaml"), "it c.yaml None"),
        (("set", "it", "--config", "c.yaml"), "it None c.yaml"),
        (("several", "c.yaml", "--width", "3"), "(3, 1) c.yaml Host"),
        (("several", "--height", "2"), "(1, 2) None Host"),
    ],
)
def test_what_can_be_typed(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(*words) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_a_configuration_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("look", "it", "c.yaml", "--config", "c.yaml") == 2
    assert "expected CONFIG or --config" in capsys.readouterr().err
    assert typed("several", "c.yaml", "d.yaml") == 2


def test_the_help_shows_what_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("look", "--help") == 0
    written = capsys.readouterr().out
    assert "things look [OPTIONS] {SUBJECT} [CONFIG]" in written
    assert "Look at it." in written
    assert [word for word in ("--config FILE", "--by NAME", "--state DIR") if word not in written] == []


@pytest.mark.parametrize(
    ("fault", "status", "lines"),
    [
        ("none", 0, []),
        ("wrong", 2, ["sluicegate: a\\x1b"]),
        ("failed", 1, ["sluicegate: b"]),
        ("configuration", 2, ["sluicegate: c", "sluicegate: d"]),
        ("more", 2, ["sluicegate: c", "sluicegate: more may follow when these are mended"]),
        ("file", 1, ["sluicegate: e: Permission denied"]),
        # Whoever read has seen enough.
        ("stdout", 1, []),
    ],
)
def test_faults(fault: str, status: int, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("fail", fault) == status
    assert capsys.readouterr().err.splitlines() == lines


def test_what_nobody_expects_is_left_to_others() -> None:
    with pytest.raises(ZeroDivisionError), told(__name__, wrong=(WrongError,)):
        raise ZeroDivisionError
    with pytest.raises(FailedError), told(__name__, wrong=(WrongError,)):
        raise FailedError


def test_who() -> None:
    assert who("a\x1bb" + "c" * 100) == "a\\x1bb" + "c" * 58
    assert who(None)


def test_a_configuration_that_is_not_typed() -> None:
    path = Path("c.yaml")
    assert (named(), named(path), named(None, path)) == (None, path, path)
