"""Outcomes."""

from __future__ import annotations

import pytest

from extproc.outcome import Reject


@pytest.mark.parametrize("status", [400, 401, 429, 503, 599])
def test_a_rejection_has_the_status_of_an_error(status: int) -> None:
    assert Reject(status, "code", "Message.").status == status


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600])
def test_no_other_status_is_a_rejection(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        Reject(status, "code", "Message.")
