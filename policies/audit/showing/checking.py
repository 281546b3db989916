"""`sluicegate audit verify`, `keygen` and `schema`: what anyone can do who has no gateway."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from extproc.printing import complain, fault, say, show_json
from policies.audit.showing import keygen as keys
from policies.audit.showing import record_schema, verdicts
from policies.audit.showing.options import Json
from policies.audit.showing.printing import say_styled


def verify(
    *,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder of journals, one journal, or one segment.")],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="Of whoever signed (PEM): heads and seals count.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nothing on record was edited, removed, moved or cut off. Needs the files alone.

    Exit status: 0 intact, 1 not, 2 cannot be read.
    """
    try:
        report = verdicts.examine(path, public_key)
    except (verdicts.NothingThereError, OSError) as error:
        complain(fault(error) if isinstance(error, OSError) else str(error))
        raise typer.Exit(verdicts.UNREAD) from None
    if as_json:
        show_json({"intact": report.intact, "journals": report.journals})
    else:
        for line, style in verdicts.lines(report):
            say_styled(line, style)
    raise typer.Exit(verdicts.status(report))


def keygen(
    *,
    private: Annotated[Path, typer.Argument(metavar="FILE", help="The private key; the public one is FILE.pub.")],
) -> None:
    """Make a key pair with which journals are signed (Ed25519, PEM). Give the gateway `signing_key: {file: FILE}`."""
    public, name = keys.make(private)
    say(f"{private}: the private key, for the gateway alone")
    say(f"{public}: the public key {name}, for `sluicegate audit verify --public-key`")


def schema() -> None:
    """Print the JSON Schema of a record: of each line of a journal."""
    # As it is published: it holds nothing that a client chose.
    sys.stdout.write(record_schema.text())
