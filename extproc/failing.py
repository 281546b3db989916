"""What the failure of a policy means, and what is written down of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from extproc.completion import Decision
from extproc.outcome import Continue, Reject, RequestOutcome
from extproc.policy import FailureMode

if TYPE_CHECKING:
    from extproc.chain import Course, Link

_log = logging.getLogger(__name__)
_RETRY: Final = 1.0


def failed(link: Link, error: BaseException, course: Course) -> RequestOutcome:
    """What it means, recorded. The exception may quote the request: only its type goes further."""
    record(link, error, course)
    if link.failure is FailureMode.OPEN or link.shadow:
        return Continue()
    return Reject(
        503,
        "decision_timeout" if isinstance(error, TimeoutError) else "policy_failed",
        "The gateway could not decide about this request. Try again later.",
        retry_after=_RETRY,
        why=f"{link.policy.name}: {type(error).__name__}",
    )


def record(link: Link, error: BaseException, course: Course) -> None:
    """Write it down: in the log, and among the decisions."""
    _log.error(
        "policy %s failed on exchange %s: %s",
        link.policy.name,
        course.exchange.id,
        type(error).__name__,
        exc_info=error if not isinstance(error, TimeoutError) else None,
    )
    course.decisions.append(
        Decision(
            link.policy.name,
            "failed",
            "policy_failed",
            type(error).__name__,
            enforced=link.failure is FailureMode.CLOSED and not link.shadow,
        )
    )
