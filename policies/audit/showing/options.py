"""What can be said to the commands, and the filter that it makes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from policies.audit.showing import times
from policies.audit.showing.filters import DECISIONS, Filter, check

STATE: Final = Path(".sluicegate")

Config = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]", help="The server's configuration. Left out: of `sluicegate up`.", show_default=False
    ),
]
Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="The folder of the journals, in place of a configuration.")
]
State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state directory of `sluicegate up`.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Lines = Annotated[bool, typer.Option("--json", help="For programs: the lines as they stand in the journals.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it. Left out: the login name.")]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", metavar="TENANT", help="Name or id; * and ? are wildcards; again for more."),
]
Users = Annotated[list[str] | None, typer.Option("--user", metavar="USER", help="Likewise.")]
Models = Annotated[list[str] | None, typer.Option("--model", metavar="MODEL", help="As asked for or as used; likewise.")]
Events = Annotated[list[str] | None, typer.Option("--event", metavar="EVENT", help="Such as 'limit.*'; likewise.")]
Decisions = Annotated[
    list[str] | None, typer.Option("--decision", metavar="DECISION", help=f"{', '.join(DECISIONS)}; again for more.")
]
RequestId = Annotated[str, typer.Option("--request-id", metavar="ID", help="As the client saw it.")]
ExchangeId = Annotated[str, typer.Option("--exchange", metavar="ID", help="Of one exchange.")]
Session = Annotated[str, typer.Option("--session", metavar="ID", help="Of one session.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"UTC: {times.EXPECTED}")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="Likewise; a day, week or month is included.")]


def wanted(
    tenant: list[str] | None,
    user: list[str] | None,
    model: list[str] | None,
    event: list[str] | None,
    decision: list[str] | None,
    *,
    request_id: str,
    exchange: str,
    session: str,
    begin: str,
    end: str,
    now: datetime | None = None,
) -> Filter:
    """The filter that was typed.

    Raises:
        FilterError, TimeError: it cannot be meant.
    """
    at = now or datetime.now(UTC)
    return check(
        Filter(
            tuple(tenant or ()),
            tuple(user or ()),
            tuple(model or ()),
            tuple(event or ()),
            tuple(decision or ()),
            request_id,
            exchange,
            session,
            times.moment(begin, "from", at) if begin else "",
            times.moment(end, "to", at) if end else "",
        )
    )
