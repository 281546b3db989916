"""The image without an engine: the Dockerfile's steps are run in an empty folder, and what came of them serves.

Sealed, as with a read-only root: nobody can write to anything but the volumes, and the server is nobody.

Two things are not as in a build by an engine. The step that installs a compiler is taken as done where this machine has
one; where it has none the image is made with `COMPILE=0`, and one test says that it was skipped. And of the modules that
are to be compiled only `COMPILED` are, to save a minute or two: `make test` compiles all of them for the contract.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pytest
import yaml
from grpc_health.v1 import health_pb2
from packaging.utils import canonicalize_name

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.ports import free_port
from extproc.protos import ProcessingResponse
from extproc.transport import HEALTH_CHECK, PROCESS
from hatch_build import CompilerMissingError, check_compiler, modules
from k8s.image.building import Built, Context, StepFailedError, build, run
from k8s.image.dockerfile import executable, parse
from k8s.image.lock import read
from k8s.image.room import unable
from policies.audit.following.status import FILE
from tests.playbook import JSON, body, headers, metadata
from tests.redis_servers import RedisServer, running_redis
from tests.served import CHAT, PROMPT, Served
from tests.servers import HOST, Server, running

ROOT: Final = Path(__file__).resolve().parents[2]
USER: Final = 65_532
STATE, RUN, CONFIGURED = "/var/lib/sluicegate", "/run/sluicegate", "/etc/sluicegate"
NETWORK: Final = ("PIP_", "SSL_", "REQUESTS_CA", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
AWAY: Final = ("NewConnectionError", "Temporary failure in name resolution", "Network is unreachable")
LIMIT_MB: Final = 260
# One of the host, one of the wire, one of a policy; every request passes through each.
COMPILED: Final = ("extproc/chain", "extproc/wire/frames", "policies/access/decide")
pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(bool(unable()), reason=unable() or "-")]


def without_compiler() -> str:
    """What is missing here to compile; empty if nothing is."""
    try:
        check_compiler()
    except CompilerMissingError as missing:
        return str(missing)
    return ""


def listing(chosen: tuple[str, ...]) -> str:
    """pyproject.toml, with these alone to be compiled."""
    tables: dict[str, list[str]] = {}
    for path in chosen:
        package, _, name = path.rpartition("/")
        tables.setdefault(package, []).append(name)
    lines = [f"{json.dumps(package)} = {json.dumps(names)}" for package, names in tables.items()]
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    table = "[tool.sluicegate.compiled]\n"
    changed, count = re.subn(rf"(?s){re.escape(table)}.*?(?=\n\[)", table + "\n".join(lines) + "\n", text)
    assert count == 1
    return changed


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, ...]:
    network = {name: value for name, value in os.environ.items() if name.startswith(NETWORK)}
    ignore = (ROOT / ".dockerignore").read_text("utf-8")
    context = Context(ROOT, ignore, {"pyproject.toml": listing(COMPILED)})
    dockerfile = parse((ROOT / "Dockerfile").read_text("utf-8"))
    folder = tmp_path_factory.mktemp("image")
    try:
        if without_compiler():
            return build(dockerfile, context, folder, network, arguments={"COMPILE": "0"})
        return build(dockerfile, context, folder, network, done_by={"apt-get"})
    except StepFailedError as error:
        if any(word in str(error) for word in AWAY):
            pytest.skip("no registry of packages can be reached, and the image is made of packages")
        raise


@pytest.fixture(scope="module")
def built(stages: tuple[Built, ...]) -> Built:
    return stages[-1]


@dataclass(frozen=True, slots=True)
class Container:
    """What runs in the image, with its three volumes in a folder, and an identity provider and counters beside it."""

    built: Built
    gateway: Served
    redis: RedisServer
    address: str
    admin: str

    def configure(self, **server: Any) -> None:
        tree = self.gateway.tree()
        tree["server"] = {"listen": self.address, "admin": self.admin, **server}
        limits = [{"subject": "user", "requests_per_minute": 60}]
        tree["policies"] += [
            {
                "policy": "limits",
                "settings": {
                    "redis": {"url": self.redis.address, "timeout": 5.0},
                    "limits": limits,
                    "spool": f"{STATE}/spool",
                },
            },
            {"policy": "cost"},
            {"policy": "audit", "settings": {"journal": {"folder": f"{STATE}/journal"}, "sinks": self.sinks()}},
        ]
        (self.gateway.folder / "etc/gateway.yaml").write_text(yaml.safe_dump(tree))

    def sinks(self) -> list[dict[str, Any]]:
        """One of each kind that needs a package of its own, and one that is in every installation."""
        nowhere = f"http://{HOST}:9"
        keys = {name: {"env": "LANGFUSE_KEY"} for name in ("public_key", "secret_key")}
        return [
            {"kind": "ledger", "url": f"sqlite:///{STATE}/ledger.db"},
            {"kind": "langfuse", "name": "langfuse", "url": nowhere, **keys},
            {"kind": "otlp", "name": "logs", "url": f"{nowhere}/v1/logs"},
        ]

    def command(self, *words: str) -> list[str]:
        """What a container runs that is given these words."""
        return self.within(*self.built.command(*words))

    def within(self, *words: str) -> list[str]:
        volumes = {
            self.gateway.folder / name: inside for name, inside in (("etc", CONFIGURED), ("run", RUN), ("lib", STATE))
        }
        variables = {**self.built.variables, "LANGFUSE_KEY": "sk", "REDACTION_KEY": "k" * 32}
        folder = self.built.folder
        return self.built.room.command(words, variables, folder=folder, user=USER, volumes=volumes, sealed=True)

    def says(self, *words: str) -> str:
        """What a container that is given these words writes to standard output."""
        ended = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://{self.admin}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def serving(self, *words: str) -> Any:
        log = self.gateway.folder / "serve.log"
        return running(self.command(*words), ready=self.ready, log=log, patience=90, grace=20)


@pytest.fixture
def container(built: Built, tmp_path: Path) -> Iterator[Container]:
    for name, owner in (("etc", 0), ("run", USER), ("lib", USER)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, owner, owner)
    gateway = Served(tmp_path, f"http://{HOST}:9", {})
    with gateway.identity_provider(), running_redis(port=free_port()) as counters:
        found = Container(built, gateway, counters, f"{HOST}:{free_port()}", f"{HOST}:{free_port()}")
        found.configure()
        yield found


async def verdict(container: Container, token: str) -> Any:
    """The verdict on a chat request with this token, as Envoy would be told it."""
    async with grpc.aio.insecure_channel(container.address) as channel:
        health: Any = channel.unary_unary(HEALTH_CHECK)
        said = health_pb2.HealthCheckResponse.FromString(await health(b""))
        assert said.status == health_pb2.HealthCheckResponse.SERVING
        call: Any = channel.stream_stream(PROCESS)()
        await call.write(headers("POST", CHAT, JSON, ("authorization", f"Bearer {token}")).SerializeToString())
        said = ProcessingResponse.FromString(await call.read())
        if said.WhichOneof("response") == "request_headers":
            await call.write(body(PROMPT).SerializeToString())
            said = ProcessingResponse.FromString(await call.read())
        await call.done_writing()
        return said


async def test_it_decides_as_nobody_where_nothing_can_be_written_but_volumes(container: Container) -> None:
    token = make_token(container.gateway.folder, Caller("contoso", "alice", ("User",)))
    with container.serving() as server:
        assert metadata(await verdict(container, token))["verdict"] == "allow"
        assert (await verdict(container, f"{token[:-8]}AAAAAAAA")).immediate_response.status.code == 401
        assert owner(server) == (USER, "0000000000000000")
        container.says("status", f"{CONFIGURED}/gateway.yaml")
    assert server.process.returncode == 0
    assert '"stopped"' in server.tail()
    written = container.says("audit", "show", f"{CONFIGURED}/gateway.yaml", "--json")
    assert "request.allowed" in written
    assert "authentication.refused" in written
    container.says("audit", "verify", f"{STATE}/journal")


@pytest.mark.skipif(bool(without_compiler()), reason=f"the image that was tested is plain Python: {without_compiler()}")
async def test_what_decides_is_compiled(container: Container) -> None:
    program = "import extproc.chain; print(extproc.chain.__file__)"
    said = subprocess.run(container.within("python", "-c", program), capture_output=True, text=True, check=True)
    assert said.stdout.endswith(".so\n")
    token = make_token(container.gateway.folder, Caller("contoso", "alice", ("User",)))
    with container.serving() as server:
        assert metadata(await verdict(container, token))["verdict"] == "allow"
        assert loaded(server) == set(COMPILED)


def loaded(server: Server) -> set[str]:
    """The compiled modules of ours that a process has loaded."""
    mapped = Path(f"/proc/{server.pid}/maps").read_text()
    return set(re.findall(r"/site-packages/((?:extproc|policies)/[\w/]+)\.[\w.-]+\.so$", mapped, re.MULTILINE))


def test_with_compile_0_the_wheel_is_plain_python(stages: tuple[Built, ...]) -> None:
    making, _ = stages
    (script,) = [one.rest for one in making.stage.instructions if one.word == "RUN" and "pip wheel" in one.rest]
    dist = making.room.root / "src/dist"
    (first,) = dist.iterdir()
    assert shared(first) == (set() if without_compiler() else set(COMPILED))
    run(script.partition("&&")[0], replace(making, arguments={"COMPILE": "0"}), {})
    (pure,) = dist.glob("*-py3-none-any.whl")
    assert shared(pure) == set()


def shared(wheel: Path) -> set[str]:
    """The compiled modules in a wheel."""
    with zipfile.ZipFile(wheel) as file:
        return {name.partition(".")[0] for name in file.namelist() if name.endswith(".so")}


def test_those_that_are_compiled_here_are_compiled_in_the_image() -> None:
    assert {f"{path}.py" for path in COMPILED} < set(modules())


def owner(server: Server) -> tuple[int, str]:
    """As whom a process runs, and the capabilities that it can ever have."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    return int(lines["Uid"].split()[0]), lines["CapBnd"].strip()


async def test_several_workers_on_a_unix_socket(container: Container) -> None:
    container.configure(listen=f"unix:{RUN}/policy.sock")
    with container.serving("serve", "--workers", "2", f"{CONFIGURED}/gateway.yaml") as server:
        assert {path.name for path in (container.gateway.folder / "run").iterdir()} >= {"policy.1.sock", "policy.2.sock"}
    assert server.process.returncode == 0


def test_the_companion_has_what_its_sinks_need(container: Container) -> None:
    status = container.gateway.folder / "lib/journal" / FILE
    command = container.command("audit", "follow", f"{CONFIGURED}/gateway.yaml")
    with running(command, ready=status.exists, log=container.gateway.folder / "follow.log", patience=90, grace=30):
        found = json.loads(status.read_text("utf-8"))
    assert set(found["sinks"]) == {"ledger", "langfuse", "logs"}


def test_postgresql_and_the_names_of_time_zones_are_known(container: Container) -> None:
    program = "import psycopg, zoneinfo; psycopg.pq.version(); zoneinfo.ZoneInfo('Europe/Berlin')"
    subprocess.run(container.within("python", "-c", program), check=True)


def test_nobody_can_write_anything(container: Container) -> None:
    script = "for at in / /tmp /usr /usr/local /opt/sluicegate /etc/sluicegate /var; do touch $at/x && echo $at; done; :"
    ended = subprocess.run(container.within("sh", "-c", script), capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert ended.stderr.count("x") >= 7


def test_nothing_installs_packages(container: Container) -> None:
    for python in ("/opt/sluicegate/bin/python", "/usr/local/bin/python3"):
        for module in ("pip", "ensurepip"):
            ended = subprocess.run(container.within(python, "-m", module), capture_output=True, text=True, check=False)
            assert f"No module named {module}" in ended.stderr


def test_all_of_the_lock_file_is_installed_and_listed_and_nothing_else(built: Built) -> None:
    pins = read((ROOT / "k8s/image/requirements.lock").read_text("utf-8"))
    locked = {(pin.name, str(pin.version)) for pin in pins if pin.holds({})}
    listed = json.loads((built.room.root / "opt/sluicegate/sbom.cdx.json").read_text("utf-8"))
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "sluicegate")
    assert {(canonicalize_name(one["name"]), one["version"]) for one in listed["components"]} == locked
    assert [one["name"] for one in listed["components"] if not one.get("purl", "").startswith("pkg:pypi/")] == []
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = (built.room.root / f"opt/sluicegate/lib/{version}/site-packages").glob("*.dist-info")
    names = {canonicalize_name(path.name.split("-")[0]) for path in installed}
    assert names == {name for name, _ in locked} | {"sluicegate"}


def test_its_size_is_known(built: Built) -> None:
    files = [path for path in (built.room.root / "opt").rglob("*") if path.is_file() and not path.is_symlink()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    assert 50 < megabytes < LIMIT_MB


def test_everything_is_compiled_and_no_source_is_looked_at(built: Built) -> None:
    """The second four bytes of compiled Python say by what it is known to be out of date: 1, by nothing (PEP 552)."""
    for package in ("extproc", "policies", "grpc", "sqlalchemy"):
        (folder,) = (built.room.root / "opt/sluicegate/lib").glob(f"python*/site-packages/{package}")
        compiled = {path.relative_to(folder): path.read_bytes()[4:8] for path in folder.rglob("__pycache__/*.pyc")}
        sources = {path.relative_to(folder) for path in folder.rglob("*.py")}
        assert {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in compiled} == sources
        assert set(compiled.values()) == {(1).to_bytes(4, "little")}


def test_its_health_check_asks_what_its_command_serves(built: Built) -> None:
    asked = executable(built.stage.last("HEALTHCHECK"))
    assert asked[-1] == built.command()[-1] == f"{CONFIGURED}/gateway.yaml"
