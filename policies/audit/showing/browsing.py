"""`sluicegate audit show`, `explain` and `export`: what is on record."""

from __future__ import annotations

import collections
import contextlib
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from extproc.commands import taking
from extproc.printing import complain, say
from policies.audit.record import Closed
from policies.audit.showing import exporting, options, story, words
from policies.audit.showing.configured import Configured
from policies.audit.showing.filters import Filter, FilterError, Related
from policies.audit.showing.options import From, Lines, wanted
from policies.audit.showing.printing import say_raw, say_styled
from policies.audit.showing.reading import Source, everything, folders, followed
from policies.audit.tenants import ids_of

_PAUSE: Final = 0.3
_MOST_RELATED: Final = 10_000


@taking(configured=options.located, chosen=wanted)
def show(
    *,
    configured: Configured,
    chosen: Filter,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, max=100_000, help="The last so many; left out, all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    as_json: Lines = False,
) -> None:
    """Show what is on record, of all journals in the order of time, a line for each record."""
    if follow and chosen.before:
        raise FilterError("--follow goes on from now: it has no --to")
    chosen, records, sources = _selected(configured.folder, chosen)
    found = chosen.select(records)
    # Whoever follows ends it by an interrupt: that is no failure.
    with contextlib.suppress(*((KeyboardInterrupt,) if follow else ())):
        shown = _print(found if limit is None else collections.deque(found, limit), as_json=as_json)
        if follow:
            _follow(followed(configured.folder, sources, _pause), chosen, as_json=as_json, heading=not shown)
        elif not shown:
            complain("nothing of that kind is on record", prefix="")
    finish(sources)


def _selected(where: Path, chosen: Filter) -> tuple[Filter, Iterator[Closed], Sequence[Source]]:
    """The filter with the ids of the tenants that it names, and what it is to select from.

    Records of limits know a tenant by its id alone, and may come before the first that tells its name.
    """
    ids = ids_of(folders(where), chosen.tenants)
    return chosen.with_ids(ids), *everything(where, chosen.earliest, chosen.before)


def _print(records: Iterable[Closed], *, as_json: bool, heading: bool = True) -> int:
    """Print them; how many there were."""
    count = 0
    for count, closed in enumerate(records, 1):
        if as_json:
            say_raw(closed.line)
            continue
        if heading and count == 1:
            say_styled(words.HEADING, "bold")
        say_styled(words.line(closed.record), words.style(closed.record))
    return count


def _follow(coming: Iterator[Closed | None], chosen: Filter, *, as_json: bool, heading: bool) -> None:
    sys.stdout.flush()
    for closed in coming:
        if closed is None:
            sys.stdout.flush()
        elif chosen.matches(closed.record):
            heading = _print([closed], as_json=as_json, heading=heading) == 0


def _pause() -> bool:
    time.sleep(_PAUSE)
    return True


def finish(sources: Sequence[Source]) -> None:
    """Tell which journals could not be read to their end: then the exit status is 1."""
    sys.stdout.flush()
    broken = [source.broken for source in sources if source.broken is not None]
    for one in broken:
        complain(f"{one.journal} cannot be read further: {one.why}; `sluicegate audit verify` says more")
    if broken:
        raise typer.Exit(1)


@taking(configured=options.located)
def explain(
    *,
    request: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Or the id of an exchange, reservation or trace.")],
    configured: Configured,
    begin: From = "",
    as_json: Lines = False,
) -> None:
    """Tell all that is known of one request: who and when, what for, what was decided and why, used and paid."""
    if not request:
        raise FilterError("expected the id of a request")
    chosen = wanted(begin=begin)
    records, sources = everything(configured.folder, chosen.earliest)
    found = _related(request, chosen.select(records))
    if as_json:
        _print(found, as_json=True)
    else:
        for index, one in enumerate(story.exchanges(found)):
            if index:
                say()
            for sentence in story.tell(one):
                say(sentence)
    if not found:
        complain(f"nothing is on record of {request}", prefix="")
    finish(sources)
    if not found:
        raise typer.Exit(1)


def _related(request: str, records: Iterable[Closed]) -> list[Closed]:
    related = Related(request)
    found = list(itertools.islice((one for one in records if related.matches(one.record)), _MOST_RELATED))
    if len(found) == _MOST_RELATED:
        complain(f"there may be more than {_MOST_RELATED:,} records of it", prefix="warning: ")
    return found


@taking(configured=options.located, chosen=wanted)
def export(
    *,
    configured: Configured,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help=", ".join(exporting.FORMATS))],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Left out, or -: standard output.")
    ] = None,
    chosen: Filter,
) -> None:
    """Export what is on record in a format of others."""
    write = exporting.writer(form)
    chosen, records, sources = _selected(configured.folder, chosen)
    counted = _Counted(chosen.select(records))
    if out is None or str(out) == "-":
        exporting.to_terminal(form, write, counted)
    else:
        exporting.to_file(out, write, counted)
    complain(f"{words.several(counted.count, 'record')} exported", prefix="")
    finish(sources)


class _Counted:
    """Counts what passes."""

    def __init__(self, records: Iterable[Closed]) -> None:
        self._records = records
        self.count = 0

    def __iter__(self) -> Iterator[Closed]:
        for closed in self._records:
            self.count += 1
            yield closed
