"""What the failure of a policy means: a table. (That it is one: see test_chain.py.)"""

from __future__ import annotations

import pytest

from extproc.chain import Course, Link
from extproc.completion import Decision
from extproc.failing import failed, record
from extproc.outcome import Continue, Reject
from extproc.policy import FailureMode, Policy
from tests.extproc.world import exchange


class Broken(Policy):
    name = "broken"


@pytest.mark.parametrize(
    ("link", "error", "code", "enforced"),
    [
        (Link(Broken()), ValueError("secret"), "policy_failed", True),
        (Link(Broken()), TimeoutError("secret"), "decision_timeout", True),
        (Link(Broken(), FailureMode.OPEN), ValueError("secret"), None, False),
        (Link(Broken(), shadow=True), ValueError("secret"), None, False),
    ],
)
def test_closed_refuses_and_everything_else_goes_on(
    link: Link, error: BaseException, code: str | None, enforced: bool
) -> None:
    course = Course(exchange())
    meaning = failed(link, error, course)
    assert (meaning.code if isinstance(meaning, Reject) else None) == code
    assert isinstance(meaning, Reject | Continue)
    assert course.decisions == [Decision("broken", "failed", "policy_failed", type(error).__name__, enforced)]
    assert "secret" not in repr((meaning, course.decisions))


def test_it_is_in_the_log_with_its_type(caplog: pytest.LogCaptureFixture) -> None:
    record(Link(Broken()), TimeoutError("secret"), Course(exchange()))
    assert caplog.messages == ["policy broken failed on exchange ex-1: TimeoutError"]
    assert "secret" not in caplog.text
