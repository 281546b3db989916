"""`sluicegate token`: a token of the demo identity provider."""

from __future__ import annotations

from typing import Annotated

import typer

from extproc.cli.loading import DEFAULT_STATE, State
from extproc.embedded.demo_tokens import GATEWAY, TENANTS, Caller, parse_lifetime
from extproc.printing import complain, say


def command(
    *,
    tenant: Annotated[str, typer.Option(help=f"{' or '.join(TENANTS)}; another name or GUID is another tenant.")],
    user: Annotated[str, typer.Option(help="Any name or GUID.")],
    role: Annotated[list[str] | None, typer.Option(help="An application role; may be given again.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group's name or GUID; may be given again.")] = None,
    app: Annotated[bool, typer.Option("--app", help="An application on its own, without a user.")] = False,
    department: Annotated[str, typer.Option(help="The claim `department`.")] = "",
    ttl: Annotated[str, typer.Option(help="How long it is good for; negative for one that has expired.")] = "1h",
    audience: Annotated[str, typer.Option(help="For whom it is meant.")] = GATEWAY,
    state: State = DEFAULT_STATE,
) -> None:
    """Print a token of the demo identity provider. Nothing needs to run; the signing key is made at first use."""
    from extproc.embedded.demo_keys import key_path, make_token

    try:
        lifetime = parse_lifetime(ttl)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ttl") from error
    caller = Caller(tenant, user, tuple(role or ()), tuple(group or ()), app_only=app, department=department)
    new = not key_path(state).exists()
    token = make_token(state, caller, lifetime=lifetime, audience=audience)
    if new:
        warning = f"made a new key in {state}; a gateway that is running with another --state will not accept it"
        complain(warning, prefix="warning: ")
    say(token)
