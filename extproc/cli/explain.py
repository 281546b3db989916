"""`sluicegate explain`: what would become of a request, and why."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from extproc.cli.asked import read_body, read_token, request_from
from extproc.cli.loading import DEFAULT_STATE, NOWHERE, Configuration, State, examined
from extproc.configured import read_tree
from extproc.embedded.scheme import embedded_names
from extproc.printing import complain, say, show_table, show_text

if TYPE_CHECKING:
    from extproc.assembly import Examined
    from extproc.chain import Chain
    from extproc.exchange import Request
    from extproc.explain import Explanation
    from extproc.settings import Settings

_DECIDING: Final = ("on_request_headers", "on_request_body")


class Verdict(StrEnum):
    """What may become of a request."""

    ALLOW = "allow"
    REJECT = "reject"
    RESPOND = "respond"


def command(
    *,
    configuration: Configuration,
    token: Annotated[str | None, typer.Option(metavar="TOKEN", help="Bearer token; - reads it from stdin.")] = None,
    method: Annotated[str | None, typer.Option(help="Default: POST with a body, GET without.")] = None,
    path: Annotated[
        str | None, typer.Option(help="Default: /v1/chat/completions with a body, /v1/models without.")
    ] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="May be given again.")] = None,
    body: Annotated[str | None, typer.Option(metavar="TEXT|@FILE", help="The request body.")] = None,
    as_tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Ask as somebody of this tenant, without a token: name or id.")
    ] = None,
    as_role: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="... who has this role.")] = None,
    as_group: Annotated[list[str] | None, typer.Option(metavar="GROUP", help="... who is in this group.")] = None,
    as_scope: Annotated[list[str] | None, typer.Option(metavar="SCOPE", help="... through this delegated scope.")] = None,
    as_app: Annotated[bool, typer.Option("--as-app", help="Ask as an application on its own.")] = False,
    expect: Annotated[Verdict | None, typer.Option(help="Exit status 1 if it is another; for CI.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Ask the policies of a configuration about a request, without Envoy: what each decided, and why.

    Tokens of the demo identity provider are verified with the keys of the state directory; nothing needs to run.
    """
    content = read_body(body)
    bearer = read_token(token)
    request = request_from(method=method, path=path, fields=header or (), token=bearer, body=content)
    posing = as_app or any((as_tenant, as_role, as_group, as_scope))
    if posing and bearer is not None:
        raise typer.BadParameter("either a token, or --as-…", param_hint="--token")
    with _settings(configuration, state, bearer) as found:
        chain = found.chain
        if posing:
            chain = _posed(
                found, tenant=as_tenant, roles=as_role or [], groups=as_group or [], scopes=as_scope or [], app=as_app
            )
        explanation = asyncio.run(_explain(found.settings, chain, request, content))
    if as_json:
        show_text(json.dumps(dataclasses.asdict(explanation), indent=2, ensure_ascii=False) + "\n")
    else:
        _show(explanation)
    if expect is not None and explanation.verdict != expect:
        complain(f"expected {expect}, and it is {explanation.verdict}")
        raise typer.Exit(1)


@contextlib.contextmanager
def _settings(configuration: Path, state: Path, bearer: str | None) -> Iterator[Examined]:
    with contextlib.ExitStack() as running:
        addresses = dict(NOWHERE)
        if "identity" in embedded_names(read_tree(configuration)):
            from extproc.embedded.demo_keys import is_foreign
            from extproc.embedded.in_process import identity_provider

            if bearer is not None and is_foreign(bearer, state):
                complain(f"the token's key is not in the state directory {state}: give --state", prefix="warning: ")
            addresses["identity"] = running.enter_context(identity_provider(state))
        yield examined(configuration, addresses)[1]


def _posed(found: Examined, **who: Any) -> Chain:
    from extproc.cli.posing import identity_of, posed

    try:
        identity = identity_of(found.settings, **who)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--as-tenant") from error
    chain, replaced = posed(found.chain, identity, timeout=found.settings.server.decision_timeout)
    complain(
        f"NO TOKEN WAS LOOKED AT: a stand-in says who is calling, instead of {', '.join(replaced) or 'nobody'}",
        prefix="warning: ",
    )
    return chain


async def _explain(settings: Settings, chain: Chain, request: Request, body: bytes | None) -> Explanation:
    from extproc.chain import Chain
    from extproc.explain import explain

    # Who only records has nothing to say of what does not happen, and is not started: it would record that.
    deciding = [link for link in chain.links if any(type(link.policy).overrides(hook) for hook in _DECIDING)]
    asked = Chain(deciding, timeout=settings.server.decision_timeout)
    await asked.start()
    try:
        return await explain(settings, asked, request, body)
    finally:
        await asked.stop()


def _show(explanation: Explanation) -> None:
    rows = [
        (step.policy, step.phase, " ".join(filter(None, (step.outcome, step.code))), "; ".join(step.notes))
        for step in explanation.steps
    ]
    show_table(("policy", "phase", "outcome", "why"), rows)
    say()
    for line in conclusion(explanation):
        say(line)


def conclusion(explanation: Explanation) -> list[str]:
    """The verdict, in a few lines."""
    if explanation.verdict != "allow":
        head = " ".join(filter(None, (explanation.verdict, str(explanation.status or ""), explanation.code)))
        return [head] + [f"  {word}: {text}" for word, text in _said(explanation) if text]
    lines = [f"allow, to {explanation.upstream}{explanation.upstream_path or ''}"]
    lines += [f"  sets {name}: {value}" for name, value in explanation.set_headers]
    if explanation.removed_headers:
        lines.append(f"  removes {', '.join(sorted(explanation.removed_headers))}")
    if explanation.body_changed:
        lines.append("  changes the body")
    return lines


def _said(explanation: Explanation) -> tuple[tuple[str, str | None], ...]:
    return (("message", explanation.message), ("why", explanation.why))
