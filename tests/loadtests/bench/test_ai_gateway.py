"""What AI Gateway is run with, alone and behind us, and when it cannot be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extproc.ai_gateway.running import ENVIRONMENT
from extproc.settings import Settings, parse
from loadtests.bench import ai_gateway, targets
from loadtests.bench.ai_gateway import GUESTS, documents, hindrance
from loadtests.bench.measure import own
from loadtests.bench.proc import child_named
from loadtests.bench.targets import Kind


def tree_of(folder: Path, kind: Kind) -> dict[str, Any]:
    return targets.gateway_tree(
        port=1_025,
        socket=folder / "s",
        upstream="http://127.0.0.1:2",
        identity="http://127.0.0.1:3",
        kind=kind,
        valkey="redis://127.0.0.1:4",
    )


def settings_of(folder: Path, kind: Kind = GUESTS[1]) -> Settings:
    tree = tree_of(folder, kind)
    tree["server"]["profile"] = "ai-gateway"
    return parse(tree)


@pytest.mark.parametrize(("kind", "durability"), [(GUESTS[1], "batch"), (GUESTS[2], "strict")])
def test_all_our_controls_are_all(tmp_path: Path, kind: Kind, durability: str) -> None:
    policies = tree_of(tmp_path, kind)["policies"]
    assert [entry["policy"] for entry in policies] == ["entra", "access", "limits", "cost", "audit"]
    assert policies[-1]["settings"]["journal"]["durability"] == durability


def test_alone_it_does_not_know_us(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    alone, ours = (documents(settings, alone=alone) for alone in (True, False))
    kinds = [one["kind"] for one in alone]
    assert "EnvoyExtensionPolicy" not in kinds
    assert kinds.count("AIGatewayRoute") == kinds.count("AIServiceBackend") == kinds.count("Gateway") == 1
    text = json.dumps(alone)
    assert "sluicegate-policy" not in text
    assert "telemetry" not in text
    assert "extProc" not in text
    # And with us it is the profile, but for the one thread that every Envoy here has.
    assert "sluicegate-policy" in json.dumps(ours)
    proxies = [one["spec"]["concurrency"] for one in (*alone, *ours) if one["kind"] == "EnvoyProxy"]
    assert proxies == [1, 1]


def test_alone_its_route_goes_to_the_upstream_that_the_load_names(tmp_path: Path) -> None:
    alone = documents(settings_of(tmp_path), alone=True)
    (route,) = [one for one in alone if one["kind"] == "AIGatewayRoute"]
    (rule,) = route["spec"]["rules"]
    assert [match["name"] for match in rule["matches"][0]["headers"]] == ["x-ai-eg-model"]
    (backend,) = rule["backendRefs"]
    assert backend["name"] in {one["metadata"]["name"] for one in alone if one["kind"] == "AIServiceBackend"}


@pytest.mark.parametrize("named", ["", "/nowhere/aigw"])
async def test_without_a_binary_it_is_not_measured(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, named)
    assert ENVIRONMENT in str(await hindrance())


async def test_where_its_ports_are_taken_it_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, sys.executable)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ai_gateway, "PORTS", (port,))
        assert str(port) in str(await hindrance())
    assert await hindrance() is None


def test_what_a_child_uses_is_not_its_parents() -> None:
    assert own({"ai_gateway": 5, "envoy": 3, "policy": 1}) == {"ai_gateway": 2, "envoy": 3, "policy": 1}
    assert own({"envoy": 3, "policy": 1}) == {"envoy": 3, "policy": 1}


def test_a_child_is_found_by_its_name() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert child_named(os.getpid(), "sleep") == child.pid
            assert child_named(child.pid, "nobody") is None
        finally:
            child.kill()
