"""How access is refused: a stable code, a sentence that the caller can forward to an administrator, and for the
operator's record what was missing.

Nothing here tells what other people may do, or whether what was asked for exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extproc.call import Call, Operation
from extproc.identity import CallerKind, Identity
from policies.access.grants import Grants, Holdings

_ASK: Final = "Ask your administrator for a role that includes it."
_OUTPUT_PARAM: Final = {
    Operation.COMPLETIONS: "max_tokens",
    Operation.RESPONSES: "max_output_tokens",
    Operation.MESSAGES: "max_tokens",
}
_OTHER_KIND: Final = {CallerKind.USER: "applications", CallerKind.APP: "people"}


@dataclass(frozen=True, slots=True)
class Refused:
    """Not allowed: the parts of a `Reject`. `scopes` are those of which the caller lacks one (RFC 6750 section 3)."""

    code: str
    message: str
    why: str
    param: str | None = None
    status: int = 403
    scopes: tuple[str, ...] = ()


def scope_missing(grants: Grants) -> Refused:
    scopes = tuple(sorted(grants.scopes))
    return Refused(
        "scope_missing",
        "Your application holds none of the delegated permissions that this gateway needs: " + ", ".join(scopes) + ".",
        "the token carries none of the configured scopes",
        scopes=scopes,
    )


def operation_not_allowed(operation: Operation, identity: Identity, holdings: Holdings) -> Refused:
    shown = _shown(operation)
    return _nothing_granted(f"the operation '{shown}'", f"no permission with the operation {shown}", identity, holdings)


def route_not_allowed(operation: Operation, route: str, identity: Identity, holdings: Holdings) -> Refused:
    what = f"the {'agent' if operation is Operation.AGENT else 'route'} '{route}'"
    return _nothing_granted(what, f"no permission for {what}", identity, holdings)


def path_not_allowed(operation: Operation, route: str, method: str, holdings: Holdings) -> Refused:
    what = f"the {'agent' if operation is Operation.AGENT else 'route'} '{route}'"
    return Refused(
        "path_not_allowed",
        f"Your permissions for {what} do not cover this method and path. {_ASK}",
        f"{_held(holdings)}: no permission for {what} covers {method} on this path",
    )


def model_not_allowed(call: Call, holdings: Holdings) -> Refused:
    shown = _shown(call.operation)
    return Refused(
        "model_not_allowed",
        f"You have no permission for the model '{call.model}' with the operation '{shown}'. {_ASK}",
        f"{_held(holdings)}: no permission with the operation {shown} covers the model and the upstream that serves it",
        param="model",
    )


def odd_model() -> Refused:
    return Refused(
        "model_not_allowed",
        "The name of a model has 1 to 256 characters, none of them a control character.",
        "the name of the model cannot be compared",
        param="model",
    )


def tool_not_allowed(tool: str, printable: bool, together: bool, holdings: Holdings) -> Refused:
    name = f"'{tool}'" if printable else "of this type"
    joint = " together with the other tools of this call" if together else ""
    return Refused(
        "tool_not_allowed",
        f"You have no permission for the tool {name}{joint}, which the provider would run itself. {_ASK}",
        f"{_held(holdings)}: no permission for this model covers the hosted tool {name}{joint}",
        param="tools",
    )


def output_ceiling_exceeded(call: Call, ceiling: int) -> Refused:
    return Refused(
        "output_ceiling_exceeded",
        f"You may ask for at most {ceiling} output tokens with this model, and this call asks for {call.max_output}.",
        f"asked for {call.max_output} output tokens, the ceiling is {ceiling}",
        param=_OUTPUT_PARAM.get(call.operation),
    )


def groups_unknown(refused: Refused) -> Refused:
    return Refused(
        "groups_unknown",
        "Your roles alone do not allow this, and your token carries too many groups to list them (group overage), so"
        " your groups are not known here. Ask your administrator to assign you a role, or to configure the Graph"
        " resolver, which looks groups up.",
        f"group overage; by roles alone: {refused.code}; {refused.why}",
    )


def model_not_found() -> Refused:
    return Refused(
        "model_not_found",
        "There is no such model, or you have no permission for it.",
        "no named model of this dialect that the caller may use",
        param="model",
        status=404,
    )


def _nothing_granted(what: str, missing: str, identity: Identity, holdings: Holdings) -> Refused:
    if holdings.through:
        message = f"You have no permission for {what}. {_ASK}"
    elif holdings.idle:
        message = (
            f"Your roles count here only for {_OTHER_KIND[identity.kind]}, so you have no permission for {what}. {_ASK}"
        )
    else:
        message = f"You have no role that this gateway knows, so you have no permission for {what}. {_ASK}"
    return Refused("operation_not_allowed", message, f"{_held(holdings)}: {missing}")


def _held(holdings: Holdings) -> str:
    held = ", ".join(holdings.through[:8]) or "no known role or group"
    more = f" and {len(holdings.through) - 8} more" if len(holdings.through) > 8 else ""
    idle = f" ({', '.join(holdings.idle[:8])} not for this kind of caller)" if holdings.idle else ""
    return held + more + idle


def _shown(operation: Operation) -> str:
    return "models" if operation is Operation.MODEL else operation.value
