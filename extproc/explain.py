"""What would become of a request: the chain, asked without Envoy, saying why."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from inspect import isawaitable

from extproc import trace_context
from extproc.ai_gateway.gates import gate_of
from extproc.chain import Chain, Course, Step
from extproc.exchange import Exchange, Request
from extproc.gate import Judgement, Passage
from extproc.outcome import Reject
from extproc.settings import Settings


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict, and what every policy said on the way to it.

    Attributes:
        verdict: `allow`, `reject` or `respond`.
        status, code, message: of a rejection.
        upstream, upstream_path: where an allowed request goes.
        set_headers, removed_headers: what is changed on the way up (names of fields only for those removed).
        body_changed: whether the body that goes up differs from the one that came.
    """

    verdict: str
    steps: tuple[Step, ...]
    status: int | None = None
    code: str | None = None
    message: str | None = None
    why: str | None = None
    upstream: str | None = None
    upstream_path: str | None = None
    set_headers: tuple[tuple[str, str], ...] = ()
    removed_headers: tuple[str, ...] = ()
    body_changed: bool = False


async def explain(settings: Settings, chain: Chain, request: Request, body: bytes | None) -> Explanation:
    """Ask a started `chain` about `request`. `body` is None for a request without one.

    Nothing goes up, so the policies are told that the exchange was abandoned: what they have reserved is given back.
    """
    gate = gate_of(settings, chain)
    # A policy may keep something under the id: two questions must not meet there.
    course = Course(Exchange(f"explained-{secrets.token_hex(8)}", request, explaining=True), steps=[])
    try:
        pending = gate.headers(course)
        judgement = await pending if isawaitable(pending) else pending
        if judgement is None:
            last = gate.body(course, body or b"")
            judgement = await last if isawaitable(last) else last
        return _explanation(judgement, course)
    finally:
        chain.abandon(course)


def _explanation(judgement: Judgement, course: Course) -> Explanation:
    steps = _with_gate(course)
    match judgement:
        case Passage(target=target):
            return Explanation(
                "allow",
                steps,
                upstream=target.upstream,
                upstream_path=target.path,
                # The trace is each request's own: that of a question would tell nothing.
                set_headers=tuple(field for field in judgement.set_headers if field[0] != trace_context.HEADER),
                removed_headers=judgement.remove_headers,
                body_changed=judgement.body is not None,
            )
        case Reject():
            return Explanation(
                "reject",
                steps,
                status=judgement.status,
                code=judgement.code,
                message=judgement.message,
                why=judgement.why or None,
            )
        case _:
            return Explanation("respond", steps, status=judgement.status)


def _with_gate(course: Course) -> tuple[Step, ...]:
    """The steps of the policies, and the gateway's own word where it had one."""
    own = [
        Step("gateway", "request", decision.outcome, decision.code, (decision.why,) if decision.why else ())
        for decision in course.decisions
        if decision.policy == "gateway"
    ]
    return (*(course.steps or ()), *own)
