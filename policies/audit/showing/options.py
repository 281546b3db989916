"""What can be said to the commands, and what it makes: the configuration that is meant, and a filter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from extproc.commands import STATE, Config, ConfigOption, State, named
from policies.audit.showing import times
from policies.audit.showing.configured import Configured, read
from policies.audit.showing.filters import DECISIONS, Filter, check

Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="The folder of the journals, in place of a configuration.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Lines = Annotated[bool, typer.Option("--json", help="For programs: the lines as they stand in the journals.")]
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


def configured(config: Config = None, config_option: ConfigOption = None, state: State = STATE) -> Configured:
    """What the configuration says that was named. For `taking`.

    Raises:
        ConfigurationError: it cannot be used.
    """
    return read(named(config, config_option), None, state)


def located(
    config: Config = None, config_option: ConfigOption = None, folder: Folder = None, state: State = STATE
) -> Configured:
    """The same, where a folder of journals will do. For `taking`.

    Raises:
        ConfigurationError: it cannot be used.
    """
    return read(named(config, config_option), folder, state)


def wanted(
    *,
    tenant: Tenants = None,
    user: Users = None,
    request_id: RequestId = "",
    exchange: ExchangeId = "",
    session: Session = "",
    model: Models = None,
    decision: Decisions = None,
    event: Events = None,
    begin: From = "",
    end: To = "",
) -> Filter:
    """The filter that was typed. For `taking`.

    Raises:
        FilterError, TimeError: it cannot be meant.
    """
    now = datetime.now(UTC)
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
            times.moment(begin, "from", now) if begin else "",
            times.moment(end, "to", now) if end else "",
        )
    )
