"""Configurations for commands that run nothing: stand-ins get addresses that nobody listens on."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from extproc.cli.references import missing
from extproc.commands import STATE
from extproc.configured import read_tree
from extproc.embedded.scheme import embedded_mistakes, fill_in, mentions, resolve_embedded
from extproc.mistakes import ConfigurationError
from extproc.placement import MAX_WORKERS
from extproc.settings import Settings
from extproc.strict_yaml import lines

if TYPE_CHECKING:
    from extproc.assembly import Examined

Workers = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_WORKERS, help="Processes that decide, instead of the configuration's `server.workers`."),
]
Configuration = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a YAML file.")]
OptionalConfiguration = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="The configuration; a demo if left out.", show_default=False)
]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Where keys, logs and data are kept.")]
DEFAULT_STATE: Final = STATE

MAX_BYTES: Final = 4 * 2**20
"""Of a configuration that is to be served: twenty times what 3,000 tenants take. It is read beside those who decide."""

NOWHERE: Final = {
    "identity": "http://127.0.0.1:9001",
    "simulator": "http://127.0.0.1:9002",
    "valkey": "unix:///tmp/sluicegate/valkey.sock",
    "journal": "/nowhere/journal",
    "ledger": "sqlite:////nowhere/ledger.sqlite",
}


@contextlib.contextmanager
def located(path: Path) -> Iterator[None]:
    """Says of every mistake that is found meanwhile in which line of this file it is."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(placed(error.mistakes, path), more=error.more) from error


def placed(mistakes: Iterable[str], path: Path) -> list[str]:
    """The mistakes, each with its line in this file."""
    try:
        known = lines(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        known = {}
    return [place(mistake, path, known) for mistake in mistakes]


def place(mistake: str, path: Path, known: Mapping[str, int]) -> str:
    """`gateway.yaml:12: upstreams[0].url: …`: the line of what the mistake names, or of the nearest thing around it."""
    if mistake.startswith(f"{path}:"):
        return mistake
    where = mistake.partition(": ")[0]
    while where and where not in known:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return f"{path}:{known[where]}: {mistake}" if where else f"{path}: {mistake}"


def examined(
    path: Path, addresses: Mapping[str, str] = NOWHERE, *, workers: int | None = None
) -> tuple[dict[str, Any], Examined]:
    """The tree of a file, with an address for everything that `sluicegate up` would start, and what it describes.

    `workers`: instead of the number in the file.

    Raises:
        ConfigurationError: with every mistake that can be known, and its line.
    """
    from extproc.assembly import examine

    with located(path):
        tree = with_workers(read_tree(path), workers)
        mistakes = embedded_mistakes(tree, addresses)
        resolved: dict[str, Any] = fill_in(tree, addresses)
        try:
            found = examine(resolved)
        except ConfigurationError as error:
            raise ConfigurationError([*mistakes, *error.mistakes], more=error.more) from error
        if mistakes:
            raise ConfigurationError(mistakes)
    return resolved, found


def with_workers(tree: dict[str, Any], workers: int | None) -> dict[str, Any]:
    """The tree with another number of workers. A section that is no mapping is left to be complained of."""
    server = tree.get("server", {})
    if workers is None or not isinstance(server, dict):
        return tree
    return {**tree, "server": {**server, "workers": workers}}


def read_resolved(path: Path, addresses: Mapping[str, str] = NOWHERE, *, workers: int | None = None) -> dict[str, Any]:
    """The tree of a file, with an address for everything that `sluicegate up` would start.

    Raises:
        ConfigurationError: not readable, or it names a stand-in that there is not.
    """
    with located(path):
        tree: dict[str, Any] = resolve_embedded(with_workers(read_tree(path), workers), addresses)
    return tree


def read_for_serving(path: Path, *, workers: int | None = None) -> tuple[dict[str, Any], Examined]:
    """A configuration that has to stand on its own, as a tree and as what it describes.

    Raises:
        ConfigurationError: it does not, or it is wrong.
    """
    with _unchanged(path):
        return _read_for_serving(path, workers=workers)


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """The file is read more than once meanwhile, and must be the same each time: what is judged is what is served.

    Raises:
        ConfigurationError: it has changed, is no file, or is larger than any configuration.
    """
    from extproc.tls_files import snapshot

    with contextlib.suppress(OSError):
        facts = path.stat()
        # What is no file, such as a pipe, can be read once at most, and may make whoever reads it wait for ever.
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise ConfigurationError([f"{path}: not a file"])
        if facts.st_size > MAX_BYTES:
            raise ConfigurationError([f"{path}: larger than {MAX_BYTES // 2**20} MiB"])
    before = snapshot([str(path)])
    try:
        yield
    finally:
        if snapshot([str(path)]) != before:
            raise ConfigurationError([f"{path}: it has changed while it was read"])


def _read_for_serving(path: Path, *, workers: int | None) -> tuple[dict[str, Any], Examined]:
    with located(path):
        mistakes = [f"{where}: {value}: only `sluicegate up` starts this" for where, value in mentions(read_tree(path))]
        if mistakes:
            raise ConfigurationError(mistakes)
    found = examined(path, workers=workers)
    # Upstreams' credentials and `listen.tls` are Envoy's: it may run elsewhere.
    must_be_there(path, of="policies")
    with located(path):
        if mistakes := wrong_certificates(found[1].settings):
            raise ConfigurationError(mistakes)
    return found


def wrong_certificates(settings: Settings) -> list[str]:
    """What is wrong with the files of `server.tls`: not there, not fitting, expired."""
    from extproc.tls_files import files_of, load

    tls = settings.server.tls
    if tls is None:
        return []
    try:
        load(files_of(tls), datetime.now(UTC))
    except OSError as error:
        return [f"server.tls: {error}"]
    return []


def must_be_there(path: Path, *, of: str = "") -> None:
    """Look for the environment variables and files that a configuration, or one section `of` it, refers to.

    Raises:
        ConfigurationError: names those that are not there.
    """
    with located(path):
        absent = [line for line in missing(read_tree(path)) if line.startswith(of)]
        if absent:
            raise ConfigurationError(absent)
