from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.configured import read_tree
from extproc.embedded import stack as stack_module
from extproc.embedded.faults import StackError
from extproc.embedded.stack import DEMO, gateway_url, prepare
from extproc.embedded.state import occupied
from extproc.mistakes import ConfigurationError
from extproc.settings import parse

PLAIN: dict[str, Any] = {
    "upstreams": [{"name": "a", "provider": "openai", "url": "http://127.0.0.1:1/v1", "models": ["m"]}],
    "policies": [{"policy": "entra"}],
}


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Path]:
    with occupied(tmp_path) as directory:
        yield directory


def names(stages: tuple[tuple[Any, ...], ...]) -> list[list[str]]:
    return [[plan.name for plan in stage] for stage in stages]


def test_the_demo_starts_everything_with_envoy_last(tmp_path: Path, sockets: Path) -> None:
    stack = prepare(read_tree(DEMO), state=tmp_path, sockets=sockets, port=0)
    assert names(stack.stages) == [["valkey", "identity", "simulator"], ["audit"], ["policy"], ["envoy"]]
    assert stack.settings.listen.port > 0
    assert stack.url == f"http://127.0.0.1:{stack.settings.listen.port}"
    assert stack.settings.server.listen == f"unix:{sockets}/policy.sock"
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert "embedded://" not in written
    assert parse(yaml.safe_load(written)) == stack.settings
    assert all(plan.where for plan in stack.plans)
    assert [plan.name for plan in stack.plans if plan.retire] == ["envoy"]


def test_only_what_is_named_is_started(tmp_path: Path, sockets: Path) -> None:
    stack = prepare(PLAIN, state=tmp_path, sockets=sockets, port=0)
    assert names(stack.stages) == [["valkey"], ["policy"], ["envoy"]]
    assert not stack.embedded


@pytest.mark.parametrize(("workers", "seconds"), [(1, 5.0), (2, 12.0)])
def test_the_policy_server_has_the_time_it_may_need_to_end(
    tmp_path: Path, sockets: Path, workers: int, seconds: float
) -> None:
    """Several workers: first those that decide, then the one that settles."""
    stack = prepare({**PLAIN, "server": {"grace": 3.0, "workers": workers}}, state=tmp_path, sockets=sockets, port=0)
    assert [plan.grace for plan in stack.plans if plan.name == "policy"] == [seconds]


def test_sections_that_are_there_are_kept(tmp_path: Path, sockets: Path) -> None:
    tree = {**PLAIN, "listen": {"address": "127.0.0.2", "port": 0}, "server": {"grace": 3.0}}
    stack = prepare(tree, state=tmp_path, sockets=sockets)
    assert stack.settings.listen.address == "127.0.0.2"
    assert stack.settings.server.grace == 3.0
    assert tree["listen"] == {"address": "127.0.0.2", "port": 0}


def test_metrics_are_on_this_machine_unless_it_says_otherwise(tmp_path: Path, sockets: Path) -> None:
    own = prepare(PLAIN, state=tmp_path, sockets=sockets, port=0)
    assert own.metrics is not None
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]+/metrics", own.metrics)
    told = prepare({**PLAIN, "server": {"admin": "127.0.0.2:9902"}}, state=tmp_path, sockets=sockets, port=0)
    assert told.metrics == "http://127.0.0.2:9902/metrics"
    hidden = prepare({**PLAIN, "server": {"admin": f"unix:{sockets}/a.sock"}}, state=tmp_path, sockets=sockets, port=0)
    assert hidden.metrics is None


def an_aigw(folder: Path) -> Path:
    binary = folder / "aigw-binary"
    binary.touch(mode=0o755)
    return binary


def test_ai_gateway_is_the_last_where_its_profile_is_asked_for(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of them may run on this machine.
    monkeypatch.setattr(stack_module, "PORTS", ())
    given: dict[str, Any] = {"state": tmp_path, "sockets": sockets, "port": 0, "aigw": an_aigw(tmp_path)}
    configured = prepare({**PLAIN, "server": {"profile": "ai-gateway"}}, **given)
    chosen = prepare(PLAIN, profile="ai-gateway", **given)
    for stack in (configured, chosen):
        assert names(stack.stages) == [["valkey"], ["policy"], ["aigw"]]
        assert stack.settings.server.profile == "ai-gateway"
        plan = stack.plans[-1]
        assert plan.program[:2] == (str(tmp_path / "aigw-binary"), "run")
        assert {document["kind"] for document in yaml.safe_load_all(Path(plan.program[-1]).read_text())} >= {"Gateway"}
        assert (plan.where, plan.retire is not None) == (stack.url, True)
    assert not (tmp_path / "run" / "envoy.yaml").exists()
    plain = prepare({**PLAIN, "server": {"profile": "ai-gateway"}}, profile="plain", **given)
    assert names(plain.stages)[-1] == ["envoy"]


def test_ai_gateway_needs_a_binary(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"state": tmp_path, "sockets": sockets, "port": 0, "profile": "ai-gateway"}
    with pytest.raises(StackError, match="--aigw PATH or SLUICEGATE_AIGW"):
        prepare(PLAIN, **given)
    for binary in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(StackError, match="is no program"):
            prepare(PLAIN, aigw=binary, **given)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(stack_module, "PORTS", (taken.getsockname()[1],))
        with pytest.raises(StackError, match=str(taken.getsockname()[1])):
            prepare(PLAIN, aigw=an_aigw(tmp_path), **given)


def test_a_configuration_that_ai_gateway_cannot_serve_is_a_wrong_one(tmp_path: Path, sockets: Path) -> None:
    opaque = {**PLAIN, "opaque": [{"name": "files", "path": "/v1/files", "upstream": "a"}]}
    with pytest.raises(ConfigurationError, match="opaque"):
        prepare(opaque, state=tmp_path, sockets=sockets, port=0, profile="ai-gateway", aigw=an_aigw(tmp_path))


@pytest.mark.parametrize("tree", [{}, {**PLAIN, "listen": []}, {**PLAIN, "server": None}, {**PLAIN, "x": "embedded://y"}])
def test_a_wrong_configuration_is_a_configuration_error(tmp_path: Path, sockets: Path, tree: dict[str, Any]) -> None:
    for profile in (None, "ai-gateway"):
        with pytest.raises(ConfigurationError):
            prepare(tree, state=tmp_path, sockets=sockets, port=0, profile=profile)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"address": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"address": "::", "port": 1}, "http://[::1]:1"),
        ({"address": "::1"}, "http://[::1]:8080"),
        ({"address": "10.0.0.1", "tls": {"certificate": "c", "key": "k"}}, "https://10.0.0.1:8080"),
    ],
)
def test_the_url_for_clients_on_this_machine(listen: dict[str, Any], url: str) -> None:
    assert gateway_url(parse({**PLAIN, "listen": listen})) == url
