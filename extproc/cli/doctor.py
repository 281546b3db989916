"""`sluicegate doctor`: does Envoy do what the gateway relies on? Asked of a running Envoy, or of what one would run."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from extproc.cli.loading import DEFAULT_STATE, State, read_resolved
from extproc.configured import running
from extproc.printing import complain, say, show_json, show_table

if TYPE_CHECKING:
    from extproc.doctor.expected import Expected
    from extproc.doctor.reading import Report

_ADDRESS: Final = re.compile(r"https?://\S+|[A-Za-z0-9.-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")
_ADMIN: Final = "admin.sock"


class FailOn(StrEnum):
    """From which severity on the exit status is 1."""

    ERROR = "error"
    WARNING = "warning"


def command(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Envoy's admin endpoint (host:port or unix:/path), or a file: a config dump, a bootstrap, Kubernetes "
            "documents; - is stdin. Left out: the Envoy of `sluicegate up`.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="What its time limits and sizes are compared with. Left out: what `sluicegate up` runs, where SOURCE is "
            "left out too; otherwise the defaults.",
        ),
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="From which severity on the exit status is 1.")] = FailOn.WARNING,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Find what in Envoy lets requests pass unjudged, uncounted or twice: what it is, why it matters, how it is mended.

    Exit status 0 if there is nothing, 1 with findings, 2 if it could not be read.
    """
    from extproc.doctor.tree import UnreadableError

    named = _running(state) if source is None else source
    try:
        found = _look(named, _expected(_running_configuration(state) if source is None and config is None else config))
    except UnreadableError as error:
        complain(f"{named}: {error}")
        raise typer.Exit(2) from None
    if as_json:
        show_json({"source": named, **msgspec.to_builtins(found)})
    else:
        _show(named, found)
    if any(fail_on is FailOn.WARNING or finding.severity == fail_on.value for finding in found.findings):
        raise typer.Exit(1)


def _running(state: Path) -> str:
    """The admin endpoint of the Envoy that `sluicegate up` runs: a unix socket, or a port that `aigw` has taken."""
    from extproc.ai_gateway.running import admin_port
    from extproc.embedded.stack import AI_GATEWAY

    directory = state / "run" / "sockets"
    try:
        # The path of a unix socket must be short.
        socket = Path(os.readlink(directory)) / _ADMIN
    except OSError:
        complain(f"{directory}: not there. `sluicegate up` makes it: give its --state, or SOURCE")
        raise typer.Exit(2) from None
    log = state / "logs" / f"{AI_GATEWAY}.log"
    if not socket.exists() and log.exists() and (port := admin_port(log.read_bytes())) is not None:
        return f"127.0.0.1:{port}"
    return f"unix:{socket}"


def _running_configuration(state: Path) -> Path | None:
    """The configuration that `sluicegate up` runs, where it is there."""
    path = running(state)
    return path if path.exists() else None


def _expected(config: Path | None) -> Expected:
    from extproc.doctor.expected import DEFAULTS, of
    from extproc.settings import parse

    return DEFAULTS if config is None else of(parse(read_resolved(config)))


def _look(source: str, expected: Expected) -> Report:
    from extproc.doctor.http_admin import ask
    from extproc.doctor.reading import report

    if source.startswith("unix:") or (_ADDRESS.fullmatch(source) and not Path(source).exists()):
        dump, server_info = ask(source)
        return report(dump, expected, server_info=server_info)
    return report(_read(source), expected)


def _read(source: str) -> str:
    from extproc.doctor.reading import MAX_BYTES
    from extproc.doctor.tree import UnreadableError

    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1).decode()
        with Path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1).decode()
    except UnicodeDecodeError:
        raise UnreadableError("not UTF-8") from None
    except OSError as error:
        raise UnreadableError(str(error.strerror)) from None


def _show(source: str, found: Report) -> None:
    if found.findings:
        rows = [(finding.severity.value, finding.code, finding.where) for finding in found.findings]
        styles = ["red" if finding.severity == "error" else "yellow" for finding in found.findings]
        show_table(("severity", "finding", "where"), rows, styles=styles)
    for finding in found.findings:
        say()
        say(f"{finding.code}: {finding.what}")
        say(f"  where: {finding.where}")
        say(f"  why:   {finding.why}")
        say(f"  mend:  {finding.mend}")
    if found.findings:
        say()
    for line in found.unknown:
        say(f"not looked at: {line}")
    say(f"{source} ({found.kind.value}): {_summary(found)}")


def _summary(found: Report) -> str:
    if not found.findings:
        return "nothing found"
    errors = sum(finding.severity == "error" for finding in found.findings)
    warnings = len(found.findings) - errors
    counts = ((errors, "error"), (warnings, "warning"))
    return ", ".join(f"{count} {word if count == 1 else f'{word}s'}" for count, word in counts if count)
