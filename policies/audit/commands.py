"""`sluicegate audit …`: what is on record, whether it is whole, where it goes, and for how long it stays."""

from __future__ import annotations

from typing import Final

import typer

from policies.audit.showing.browsing import explain, export, show
from policies.audit.showing.checking import keygen, schema, verify
from policies.audit.showing.complaints import telling
from policies.audit.showing.forwarding import follow, replay, status
from policies.audit.showing.holding import hold, holds, release, retain

app = typer.Typer(help="Audit: what is on record, and whether it is whole.", no_args_is_help=True)

COMMANDS: Final = (
    *(show, explain, export, verify),
    *(follow, status, replay),
    *(hold, release, holds, retain),
    *(keygen, schema),
)
for command in COMMANDS:
    app.command()(telling(command))
