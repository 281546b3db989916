"""The guard of the AI Gateway profile lets nothing pass but what holds our verdict, whatever goes wrong in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.envoy.lua_handle import script

guard = script("guard.lua", "envoy_on_request")


def test_the_verdict_opens_it() -> None:
    assert not guard({}, {"verdict": "allow", "tenant": "t"}).responded


@pytest.mark.parametrize(
    "metadata",
    [
        *(None, {}, {"tenant": "t"}),
        *({"verdict": verdict} for verdict in ("reject", "respond", "none", "Allow", "allow ", "", True, 1.0)),
    ],
    ids=repr,
)
def test_nothing_else_does(metadata: dict[str, Any] | None) -> None:
    done = guard({}, metadata)
    assert (done.responded, done.headers[":status"], done.body) == (True, "503", b"no_verdict")


def test_its_own_faults_refuse() -> None:
    assert guard({}, {"verdict": "allow"}, broken=True).responded
