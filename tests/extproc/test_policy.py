"""The contract of a policy."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from extproc.catalogue import Catalogue
from extproc.exchange import Exchange
from extproc.outcome import CONTINUE
from extproc.policy import Policy, PolicySettings, RequestAnswer, Surroundings
from tests.extproc.world import exchange

HOOKS = ["on_request_headers", "on_request_body", "on_abandoned", "on_response_body", "on_settle"]


class First(Policy):
    name = "first"

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        return CONTINUE


class Second(First):
    """Inherits a hook that its parent overrides."""

    name = "second"


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_policy_overrides(hook: str) -> None:
    assert Policy.overrides(hook) is False
    assert First.overrides(hook) is (hook == "on_request_body")
    assert Second.overrides(hook) is (hook == "on_request_body")


async def test_a_policy_that_does_nothing_objects_to_nothing() -> None:
    policy = Policy()
    assert policy.on_request_headers(exchange()) is CONTINUE
    assert policy.on_request_body(exchange()) is CONTINUE
    assert policy.readiness() is None
    assert policy.counters() == {}
    policy.on_abandoned(exchange())
    await policy.start()
    await policy.stop()


def test_a_policy_says_how_it_is_built() -> None:
    with pytest.raises(NotImplementedError, match="First does not say how it is built"):
        First.build(PolicySettings(), Surroundings(Catalogue(), lambda: 0.0))


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError):
        PolicySettings.model_validate({"unknown": 1})
