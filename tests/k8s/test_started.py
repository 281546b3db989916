"""The policy server, started as the chart's container starts it: each probe asks for what is there, and it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.embedded.ports import free_port
from tests.k8s.manifests import Document, configuration, fixture, one

PATIENCE = 60.0
ENVIRONMENT = {"REDIS_PASSWORD": "unused"}


@contextmanager
def started(found: list[Document], folder: Path, *, admin: int, **moved: str) -> Iterator[subprocess.Popen[str]]:
    """The policy server with the configuration of these documents; `moved`: `server` keys of this machine."""
    text = configuration(found).replace("0.0.0.0:9902", f"127.0.0.1:{admin}")
    for old, new in moved.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "gateway.yaml"
    path.write_text(text)
    program = (sys.executable, "-m", "extproc.cli", "serve", str(path))
    environment = {**os.environ, **ENVIRONMENT, "HOME": str(folder)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def sidecar(found: list[Document]) -> Document:
    patch = one(found, "EnvoyProxy")["spec"]["provider"]["kubernetes"]["envoyDeployment"]["patch"]
    container: Document = patch["value"]["spec"]["template"]["spec"]["initContainers"][0]
    return container


def asked(container: Document, probe: str, admin: int) -> int:
    """The status that a kubelet would see."""
    path = container[probe]["httpGet"]["path"]
    try:
        return httpx.get(f"http://127.0.0.1:{admin}{path}").status_code
    except httpx.TransportError:
        return 0


def test_a_sidecar_answers_its_probes_and_makes_the_sockets_folder_its_own(tmp_path: Path) -> None:
    found, admin = fixture("sidecar"), free_port()
    container = sidecar(found)
    # As Kubernetes makes an emptyDir: everybody may write there.
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    with started(found, tmp_path, admin=admin, **{"/run/sluicegate": str(folder)}) as process:
        deadline = time.monotonic() + PATIENCE
        while asked(container, "startupProbe", admin) != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert asked(container, "startupProbe", admin) == 200
        assert asked(container, "livenessProbe", admin) == 200
        # It has neither keys nor Redis: it is there, and cannot decide.
        assert asked(container, "readinessProbe", admin) == 503
        socket = folder / "policy/policy.sock"
        assert socket.is_socket()
        assert (folder / "policy").stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
        written, _ = process.communicate(timeout=PATIENCE)
    assert json.loads(written.splitlines()[-1])["event"] == "stopped"
    assert not socket.exists()


@pytest.fixture
def on_a_port(tmp_path: Path) -> Iterator[int]:
    """The port of a policy server without TLS, as in pods of its own."""
    found, admin, port = fixture("sidecar"), free_port(), free_port()
    moved = {"unix:/run/sluicegate/policy/policy.sock": f"127.0.0.1:{port}"}
    with started(found, tmp_path, admin=admin, **moved):
        deadline = time.monotonic() + PATIENCE
        while asked(sidecar(found), "startupProbe", admin) != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield port


def test_a_kubelet_that_speaks_grpc_is_told_that_it_cannot_decide(on_a_port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{on_a_port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
