"""The commands of docs/reference/ai-gateway.md, taken out of the page and run.

What a test cannot have is replaced, and nothing else: the installation (by what is installed here), the path of `aigw`,
port 8080, and in the configuration of one's own Entra ID and the provider, by those of the demo.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from extproc.ai_gateway.running import ENVIRONMENT
from extproc.embedded.demo_tokens import AUTHORITY, GATEWAY, TENANTS
from extproc.embedded.ports import free_port
from tests.servers import HOST, REPOSITORY, listens, running_simulator

PAGE: Final = REPOSITORY / "docs/reference/ai-gateway.md"
INSTALLATION: Final = ["python3 -m venv venv", ". venv/bin/activate", "pip install 'sluicegate[embedded]'"]
AIGW: Final = os.environ.get(ENVIRONMENT, "")
PATIENCE: Final = 60.0


def section() -> str:
    return PAGE.read_text("utf-8").partition("\n## In five commands\n")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(), re.DOTALL)


def commands(block: str) -> list[str]:
    return block.replace("\\\n", "").splitlines()


START, LOOK, PARTS, ENVOY = (commands(block) for block in blocks("sh"))


def test_there_are_five_of_them() -> None:
    assert START[:3] == INSTALLATION
    assert START[3:] == [f"export {ENVIRONMENT}=/path/to/aigw", "sluicegate up --profile ai-gateway"]
    assert LOOK[0] == INSTALLATION[1]
    assert (len(START), len(PARTS)) == (5, 5)


class Folder:
    """An empty folder, in which a person types."""

    def __init__(self, path: Path, port: int, **environment: str) -> None:
        self.path, self.port = path, port
        binaries = path / "bin"
        binaries.mkdir()
        (binaries / "aigw").symlink_to(Path(AIGW).resolve())
        searched = ":".join([str(binaries), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": searched, "HOME": str(path), **environment}
        del self.environment[ENVIRONMENT]

    def here(self, lines: list[str]) -> str:
        text = "\n".join(line for line in lines if line not in INSTALLATION)
        return text.replace("/path/to/aigw", AIGW).replace(":8080/", f":{self.port}/")

    def said(self, *lines: str) -> str:
        """What these commands print, all of which succeed."""
        script = self.here(list(lines))
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def running(self, lines: list[str], until: str) -> Iterator[str]:
        """Runs these commands, the last of which stays in front, and gives what they have said up to `until`."""
        log = self.path / "said.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-ec", self.here(lines)],
                cwd=self.path,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + PATIENCE
            while until not in log.read_text("utf-8"):
                alive = process.poll() is None and time.monotonic() < deadline
                assert alive, log.read_text("utf-8")[-4000:]
                time.sleep(0.1)
            yield log.read_text("utf-8")
        finally:
            _end(process)

    def look(self, report: str, doctor: str) -> None:
        """What the page says that there is to see."""
        asked = self.said(*LOOK[: LOOK.index("sluicegate cost report")])
        refused, _, answered = asked.rpartition("HTTP/1.1 ")
        assert "HTTP/1.1 401 Unauthorized" in refused
        assert "missing_credentials" in refused
        assert answered.startswith("200 OK")
        assert '"object":"chat.completion"' in answered
        deadline = time.monotonic() + PATIENCE
        # It is there once it is decided, and has a price once Envoy has told how it ended.
        while not (rows := [line.split() for line in self.said(report).splitlines() if "$0.0000" in line]):
            assert time.monotonic() < deadline, self.said(report)
            time.sleep(0.2)
        (row,) = [row for row in rows if "gpt-4o-mini" in row]
        assert row[:4] == ["contoso", "gpt-4o-mini", "1", "0"]
        assert row[-1].strip("$0.")
        assert "config dump): nothing found" in self.said(doctor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, to all of its session: what is in front of it, and what is not."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def from_an_empty_folder(empty: Path) -> None:
    folder = Folder(empty, free_port())
    with folder.running([*START[:-1], f"{START[-1]} --port {folder.port}"], until="Ctrl-C ends it."):
        folder.look("sluicegate cost report", "sluicegate doctor")


@contextlib.contextmanager
def running_identity(state: Path) -> Iterator[str]:
    port = free_port()
    module = "extproc.embedded.identity_provider"
    process = subprocess.Popen([sys.executable, "-m", module, "--state", str(state), "--port", str(port)])
    try:
        while not listens(port):
            assert process.poll() is None
            time.sleep(0.05)
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


def stand_ins(text: str, *, port: int, socket: Path, simulator: str, identity: str) -> str:
    """The page's configuration, with what a test can have in the place of Entra ID and OpenAI."""
    tree = yaml.safe_load(text)
    tree["listen"] = {"port": port}
    tree["server"]["listen"] = f"unix:{socket}"
    (upstream,) = tree["upstreams"]
    upstream["url"] = f"{simulator}/v1"
    entra = next(entry for entry in tree["policies"] if entry["policy"] == "entra")["settings"]
    issuers: Mapping[str, str] = dict.fromkeys(("authority", "v1_issuer"), AUTHORITY)
    entra.update(issuers, fetch_from=identity, audiences=[GATEWAY])
    entra["tenants"] = [{"id": TENANTS["contoso"], "name": "contoso"}]
    return yaml.safe_dump(tree)


def each_part_by_itself(empty: Path) -> None:
    folder = Folder(empty, free_port(), OPENAI_API_KEY="sk-of-the-provider")
    (configuration,) = blocks("yaml")
    with running_simulator() as simulator, running_identity(empty / ".sluicegate") as identity:
        text = stand_ins(
            configuration,
            port=folder.port,
            socket=empty / "policy.sock",
            simulator=simulator.url,
            identity=identity,
        )
        (empty / "my.yaml").write_text(text)
        with folder.running([*ENVOY, *PARTS], until="(admin http://localhost:") as said:
            (admin,) = re.findall(r"admin http://localhost:(\d+)", said)
            folder.look("sluicegate cost report my.yaml", f"sluicegate doctor --config my.yaml {HOST}:{admin}")
            assert "sluicegate cost report my.yaml" in section()
            assert "sluicegate doctor --config my.yaml 127.0.0.1:PORT" in section()


# One test, so that it is one line where it is skipped.
@pytest.mark.skipif(not AIGW, reason=f"no aigw is given: {ENVIRONMENT}=PATH")
@pytest.mark.stack
@pytest.mark.parametrize("way", [from_an_empty_folder, each_part_by_itself])
def test_it_is_governed(way: Callable[[Path], None], tmp_path: Path) -> None:
    way(tmp_path)
