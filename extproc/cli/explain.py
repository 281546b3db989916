"""`sluicegate explain`: what would become of a request, and why."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extproc.cli.asked import read_body, read_token, request_from
from extproc.cli.console import harmless, say, show_table
from extproc.cli.loading import DEFAULT_STATE, NOWHERE, Configuration, State, examined
from extproc.embedded.scheme import embedded_names
from extproc.settings import read_tree

if TYPE_CHECKING:
    from extproc.assembly import Examined
    from extproc.exchange import Request
    from extproc.explain import Explanation


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
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Ask the policies of a configuration about a request, without Envoy: what each decided, and why.

    Tokens of the demo identity provider are verified with the keys of the state directory; nothing needs to run.
    """
    content = read_body(body)
    request = request_from(method=method, path=path, fields=header or (), token=read_token(token), body=content)
    with _settings(configuration, state) as found:
        explanation = asyncio.run(_explain(found, request, content))
    if as_json:
        say(json.dumps(dataclasses.asdict(explanation), indent=2, ensure_ascii=False))
    else:
        _show(explanation)


@contextlib.contextmanager
def _settings(configuration: Path, state: Path) -> Iterator[Examined]:
    with contextlib.ExitStack() as running:
        addresses = dict(NOWHERE)
        if "identity" in embedded_names(read_tree(configuration)):
            from extproc.embedded.in_process import identity_provider

            addresses["identity"] = running.enter_context(identity_provider(state))
        yield examined(configuration, addresses)[1]


async def _explain(found: Examined, request: Request, body: bytes | None) -> Explanation:
    from extproc.explain import explain

    chain = found.chain
    await chain.start()
    try:
        return await explain(found.settings, chain, request, body)
    finally:
        await chain.stop()


def _show(explanation: Explanation) -> None:
    rows = [
        (step.policy, step.phase, " ".join(filter(None, (step.outcome, step.code))), "; ".join(step.notes))
        for step in explanation.steps
    ]
    show_table(("policy", "phase", "outcome", "why"), rows)
    say()
    for line in conclusion(explanation):
        say(harmless(line))


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
