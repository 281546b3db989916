"""The order of a chain."""

from __future__ import annotations

import pytest

from extproc.call import Payload
from extproc.identity import Identity
from extproc.order import check_order
from extproc.policy import Policy


class Provides(Policy):
    name = "identity"
    provides = (Identity,)


class Requires(Policy):
    name = "access"
    requires = (Identity, Payload)


@pytest.mark.parametrize(
    ("policies", "mistakes"),
    [
        ([], []),
        ([Provides, Requires], []),
        ([Requires, Provides], ["access needs Identity, which no policy before it provides"]),
        ([Requires], ["access needs Identity, which no policy before it provides"]),
        ([Provides, Provides], ["identity provides Identity, which is provided already"]),
    ],
)
def test_order(policies: list[type[Policy]], mistakes: list[str]) -> None:
    assert check_order(policies, frozenset({Payload})) == mistakes
    assert check_order([Requires], frozenset())[1:] == ["access needs Payload, which no policy before it provides"]
