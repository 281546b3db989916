"""`sluicegate up` with everything real: Envoy, Valkey, the policy server, the demo identity provider, the simulator."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml

from extproc.configured import read_tree
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.stack import DEMO
from tests.extproc.embedded.ups import listens, up

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}
CHILDREN = ("envoy", "policy", "identity", "simulator", "valkey")


def alice(state: Path) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(state, Caller('contoso', 'alice', ('User',)))}"}


def test_it_serves_what_it_prints_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with up(state, "--port", "0") as started:
        printed = started.until_it_serves()
        steps = [line for line in printed.splitlines() if line.startswith("starting ")]
        assert steps[-2:] == ["starting policy server", "starting gateway (Envoy)"]
        assert "\x1b" not in printed
        assert f"logs in {state}/logs" in printed
        pasted = printed.partition("Try it")[2].partition("\n")[2].partition("Ctrl-C ends it.")[0]
        if shutil.which("curl"):
            where = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            said = subprocess.run(
                ("sh", "-ec", pasted), cwd=elsewhere, env=where, capture_output=True, text=True, timeout=60, check=False
            )
            assert said.returncode == 0, said.stderr
            chat, agent = map(json.loads, _objects(said.stdout))
            assert chat["choices"][0]["message"]["content"]
            assert agent
            assert not said.stdout.rstrip().endswith("}"), "what Python prints is last"
        for name in ("config.yaml", "envoy.yaml"):
            assert stat.S_IMODE((state / "run" / name).stat().st_mode) == 0o600
        assert any((state / "valkey").rglob("*.aof"))
        url = started.url
        assert started.end(signal.SIGINT) == 0
        assert started.left_behind() == []
        assert not listens(url)
        ended = [line for line in started.output.read_text().splitlines() if line.startswith("stopping ")]
        assert ended[:2] == ["stopping gateway (Envoy)", "stopping policy server"]
        assert ended[-1] == "stopping Valkey"


def _objects(text: str) -> list[str]:
    """The JSON objects that stand one after the other."""
    found = []
    while text.lstrip().startswith("{"):
        text = text.lstrip()
        end = json.JSONDecoder().raw_decode(text)[1]
        found.append(text[:end])
        text = text[end:]
    return found


@pytest.mark.parametrize("name", CHILDREN)
def test_the_death_of_any_child_ends_all_with_its_last_lines(tmp_path: Path, name: str) -> None:
    with up(tmp_path, "--port", "0") as started:
        started.until_it_serves()
        os.kill(started.child(name), signal.SIGKILL)
        assert started.process.wait(30) == 1
        printed = started.output.read_text()
        log = tmp_path / "logs" / f"{name}.log"
        reason = f"sluicegate: {name} was ended by SIGKILL; its last lines stand above, all of them in {log}"
        assert printed.splitlines()[-1] == reason
        assert all(f"  {line}" in printed for line in log.read_text().splitlines()[-3:])
        assert started.left_behind() == []
        assert not listens(started.url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.05, 0.4, 0.6, 0.8, 1.1])
def test_interrupted_while_it_starts_nothing_is_left(tmp_path: Path, delay: float, number: signal.Signals) -> None:
    with up(tmp_path, "--port", "0") as started:
        time.sleep(delay)
        # Python's own way to end before there is anything to clean up, or ours; 0 if it has started already.
        assert started.end(number) in (128 + number, -number, 0)
        assert started.left_behind() == []
        assert "Traceback" not in started.output.read_text()


def test_killed_outright_it_takes_its_children_along_and_the_next_one_starts(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as started:
        started.until_it_serves()
        assert started.end(signal.SIGKILL) == -signal.SIGKILL
        assert all(
            Path(path).parent.parent == started.sockets or Path(path).parent == started.sockets
            for path in started.left_behind()
        )
        assert not listens(started.url)
    with up(tmp_path, "--port", "0") as again:
        again.until_it_serves()
        assert again.end(signal.SIGTERM) == 0
        assert again.left_behind() == []


def test_a_request_in_flight_is_answered_and_settled_before_the_end(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as started:
        started.until_it_serves()
        answers: list[httpx.Response] = []

        def ask() -> None:
            headers = {**alice(tmp_path), "x-sim-latency-ms": "1500"}
            answers.append(httpx.post(f"{started.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.7)
        url = started.url
        started.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert not listens(url)
        assert started.process.wait(30) == 0
        asking.join()
        assert answers[0].status_code == 200
        request_id = answers[0].headers["x-request-id"]
        records = [json.loads(line) for line in (tmp_path / "logs" / "policy.log").read_text().splitlines()]
        settled = [record for record in records if record.get("request_id") == request_id]
        assert [(record["event"], record["ending"], record["usage"]["output"]) for record in settled] == [
            ("completion", "answered", 16)
        ]
        assert started.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_several_workers_serve_and_go_with_it(tmp_path: Path, number: signal.Signals) -> None:
    tree = read_tree(DEMO)
    tree["server"] = {"workers": 2}
    config = tmp_path / "workers.yaml"
    config.write_text(yaml.safe_dump(tree))
    with up(tmp_path, "--port", "0", str(config)) as started:
        started.until_it_serves()
        chat = f"{started.url}/v1/chat/completions"
        assert [httpx.post(chat, json=CHAT, headers=alice(tmp_path)).status_code for _ in range(5)] == [200] * 5
        assert sorted(path.name for path in started.sockets.rglob("policy.*")) == [
            "policy.1.sock",
            "policy.2.sock",
            "policy.settle.sock",
        ]
        if number is signal.SIGKILL:
            # What it takes along are processes; the directory of sockets is found by the next start.
            started.until_settled()
            assert started.end(number) == -number
            assert [path for path in started.left_behind() if not Path(path).is_relative_to(started.sockets)] == []
            return
        assert started.end(number) == 0
        assert started.left_behind() == []
        log = (tmp_path / "logs" / "policy.log").read_text().splitlines()
        assert [json.loads(line)["event"] for line in log].count("completion") == 5


def test_ctrl_c_twice_ends_it_at_once(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as started:
        started.until_it_serves()
        os.kill(started.child("envoy"), signal.SIGSTOP)
        started.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        while "stopping" not in started.output.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        begun = time.monotonic()
        assert started.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 10, "the grace of a stopped Envoy alone is longer"
        assert started.left_behind() == []


def test_a_second_one_in_the_same_state_directory_is_refused(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as first:
        first.until_it_serves()
        with up(tmp_path, "--port", "0") as second:
            assert second.process.wait(30) == 1
            assert (
                f"another `sluicegate up` (process {first.process.pid}) runs in {tmp_path}" in second.output.read_text()
            )
        chat = f"{first.url}/v1/chat/completions"
        assert httpx.post(chat, json=CHAT, headers=alice(tmp_path), timeout=30).status_code == 200


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(tmp_path, "--port", str(port)) as refused:
            assert refused.process.wait(30) == 1
            message = f"port {port} on 127.0.0.1 is in use: stop what listens there, or choose another port with --port"
            assert refused.output.read_text() == f"sluicegate: {message}\n"
            assert refused.left_behind() == []


def test_a_wrong_configuration_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("policies:\n  - {policy: entra, settings: {audience: x}}\n")
    with up(tmp_path / "state", "--port", "0", str(path)) as refused:
        assert refused.process.wait(30) == 2
        said = refused.output.read_text().splitlines()[0]
        assert said.startswith(f"sluicegate: {path}:2: policies[0].settings.audiences: ")
        assert "starting" not in refused.output.read_text()
        assert refused.left_behind() == []
