"""The gateway as a person starts it: `sluicegate up`, tokens by `sluicegate token`, Ctrl-C at the end."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from extproc.configured import read_tree
from extproc.embedded.ports import free_port
from extproc.embedded.stack import DEMO
from tests.e2e.gateway import Gateway, simulator_url
from tests.extproc.embedded.ups import listens, up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these start real Envoy; `sluicegate up` is watched through /proc."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"))


@pytest.fixture(scope="module", autouse=True)
def _no_settings_of_sdks() -> Iterator[None]:
    """What the developer's own environment tells SDKs is not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_")):
                patch.delenv(name)
        yield


def _configuration(state: Path) -> str:
    """The demo's, with more tokens than it has: what is reserved is given back when an answer is settled, a second later
    in front of AI Gateway, and the tests do not wait for that.
    """
    tree = read_tree(DEMO)
    [settings] = [entry["settings"] for entry in tree["policies"] if entry["policy"] == "limits"]
    for limit in settings["limits"]:
        if "tokens_per_minute" in limit:
            limit["tokens_per_minute"] *= 100
    path = state.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(tree))
    return str(path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The demo, for all tests of a module; when it is interrupted, nothing may be left of it."""
    state = tmp_path_factory.mktemp("state")
    with up(state, "--port", str(free_port()), _configuration(state)) as started:
        printed = started.until_it_serves()
        running = Gateway(started.url, simulator_url(printed), state)
        yield running
        assert started.end(signal.SIGINT) == 0, started.output.read_text()
        assert started.left_behind() == []
        assert not listens(running.url)
        assert not listens(running.simulator)
        log = (state / "logs" / "policy.log").read_text().splitlines()
        assert not [line for line in log if line.startswith("{") and json.loads(line).get("level") == "error"]
