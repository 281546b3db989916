"""Several workers behind real Envoy: restarted one after the other, killed, drained. No request fails that need not fail,
none passes unjudged, and each is settled once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import AUTHORITY, GATEWAY, TENANTS, Caller
from extproc.envoy_profile import bootstrap
from extproc.settings import parse
from extproc.tasks import spawn
from tests.servers import HOST, Server, free_port, listens, running, running_envoy

pytestmark = pytest.mark.stack
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]}
CLIENTS = 8


@dataclass(slots=True)
class Load:
    """Clients that ask one thing after the other. `answers`, and when they were asked for, are by `x-request-id`."""

    client: httpx.AsyncClient
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self._running = [spawn(self._ask(index), name="client") for index in range(CLIENTS)]

    async def stop(self) -> None:
        self._over.set()
        await asyncio.gather(*self._running)

    async def _ask(self, index: int) -> None:
        while not self._over.is_set():
            # About half of what one client could ask.
            await asyncio.sleep(0.02)
            begun = time.monotonic()
            try:
                answer = await self.client.post(CHAT, json=PROMPT | {"stream": index % 2 == 0})
            except httpx.HTTPError as error:
                self.faults.append(type(error).__name__)
                continue
            self.answers[answer.headers["x-request-id"]] = answer
            self.begun[answer.headers["x-request-id"]] = begun

    async def until(self, count: int) -> None:
        """So many answers more."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(60):
            while len(self.answers) < wanted:
                await asyncio.sleep(0.02)

    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers.values())

    def passed(self) -> set[str]:
        return {key for key, answer in self.answers.items() if answer.status_code == 200}

    def failed(self) -> set[str]:
        return set(self.answers) - self.passed()


def closed(answer: httpx.Response) -> bool:
    """Refused in the caller's own dialect, because nobody decided."""
    return answer.status_code == 503 and answer.json()["error"]["code"] == "policy_unavailable"


@dataclass(slots=True)
class Place:
    """A gateway of two workers. The configuration on disk may be changed."""

    folder: Path
    simulator: str
    identity_port: int
    gateway_port: int
    server: Server | None = None
    _read: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "sluicegate.yaml"

    def tree(self) -> dict[str, Any]:
        return {
            "listen": {"address": HOST, "port": self.gateway_port},
            "server": {
                "transport": "wire",
                "workers": 2,
                "listen": f"unix:{self.folder}/policy.sock",
                "admin": f"unix:{self.folder}/admin.sock",
                "grace": 5,
                # Envoy waits a second longer.
                "decision_timeout": 1,
            },
            "upstreams": [
                {"name": "openai", "provider": "openai", "url": f"{self.simulator}/v1", "models": ["gpt-4o"]},
            ],
            "policies": [
                {
                    "policy": "entra",
                    "settings": {
                        "authority": AUTHORITY,
                        "v1_issuer": AUTHORITY,
                        "fetch_from": f"http://{HOST}:{self.identity_port}",
                        "audiences": [GATEWAY],
                        "tenants": [{"id": TENANTS["contoso"], "name": "contoso"}],
                    },
                },
                {
                    "policy": "access",
                    "settings": {
                        "permissions": {"all": {"models": ["*"], "operations": ["chat", "models"]}},
                        "roles": {"User": ["all"]},
                    },
                },
            ],
        }

    def events(self) -> list[dict[str, Any]]:
        """What the policy server has logged so far."""
        with (self.folder / "serve.log").open("rb") as log:
            log.seek(self._read)
            for line in log:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    self._events.append(json.loads(line))
        return self._events

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not done():
                await asyncio.sleep(0.02)

    async def reload(self, event: str = "reloaded") -> None:
        before = self.count(event)
        self.signal(signal.SIGHUP)
        await self.until(lambda: self.count(event) > before)

    def signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        os.kill(self.server.pid, number)

    async def workers(self) -> dict[int, dict[str, Any]]:
        transport = httpx.AsyncHTTPTransport(uds=f"{self.folder}/admin.sock")
        async with httpx.AsyncClient(transport=transport, base_url="http://policy") as client:
            status = (await client.get("/status")).json()
        return {worker["worker"]: worker for worker in status["workers"]}

    async def pid(self, index: int) -> int:
        pid: int = (await self.workers())[index]["pid"]
        return pid

    async def arrived(self) -> int:
        """Requests that have reached the upstream."""
        async with httpx.AsyncClient() as client:
            return len((await client.get(f"{self.simulator}/sim/requests")).json()["requests"])

    async def forget(self) -> None:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{self.simulator}/sim/requests")

    async def settled(self, wanted: set[str]) -> None:
        """Each of these requests has one completion, and no request has two."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: wanted <= set(self.completions()))
        counts = Counter(self.completions())
        assert wanted - set(counts) == set()
        assert [one for one, count in counts.items() if count != 1] == []

    def completions(self) -> list[str]:
        return [one["request_id"] for one in self.events() if one["event"] == "completion"]


@contextlib.contextmanager
def identity_provider(place: Place) -> Iterator[None]:
    command = [sys.executable, "-m", "extproc.embedded.identity_provider", "--state", str(place.folder)]
    command += ["--port", str(place.identity_port)]
    with running(command, ready=lambda: listens(place.identity_port), log=place.folder / "identity.log"):
        yield


@contextlib.contextmanager
def policy_server(place: Place) -> Iterator[None]:
    place.config.write_text(yaml.safe_dump(place.tree()))
    command = [sys.executable, "-m", "extproc.cli", "serve", str(place.config)]
    ready = lambda: place.count("listening") == 1  # noqa: E731
    with running(command, ready=ready, log=place.folder / "serve.log", grace=20) as server:
        place.server = server
        yield


@pytest.fixture
async def place(simulator: str) -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        made = Place(Path(folder), simulator, free_port(), free_port())
        with identity_provider(made), policy_server(made):
            yield made


@pytest.fixture
async def load(place: Place) -> AsyncIterator[Load]:
    config = bootstrap(parse(place.tree()), admin=f"{HOST}:{free_port()}")
    with running_envoy(config) as envoy:
        token = make_token(place.folder, Caller("contoso", "alice", ("User",)))
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=envoy.url, headers=headers, timeout=30) as client:
            async with asyncio.timeout(30):
                while not all(worker["ready"] for worker in (await place.workers()).values()):
                    await asyncio.sleep(0.05)
            yield Load(client)


async def test_five_restarts_of_both_under_load_fail_no_request(place: Place, load: Load) -> None:
    load.start()
    for _ in range(5):
        await place.reload()
        await asyncio.sleep(0.3)
    await load.stop()
    assert load.faults == []
    assert load.statuses() == {200: len(load.answers)}
    assert len(load.answers) > 100
    await place.settled(set(load.answers))
    workers = await place.workers()
    assert [worker["starts"] for worker in workers.values()] == [6, 6, 6]
    assert all(workers[index]["counters"]["streams"] > 0 for index in (1, 2))
    # No worker was told to go before its time, and none had to be ended.
    assert {one.get("status") for one in place.events() if one["event"] == "worker_ended"} == {0}
    assert place.count("worker_killed") == 0


async def test_a_worker_is_killed_under_load(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    os.kill(await place.pid(1), signal.SIGKILL)
    killed = time.monotonic()
    await load.until(150)
    await place.until(lambda: place.count("worker_ended") == 1)
    await load.stop()
    assert load.faults == []
    assert len(load.failed()) <= CLIENTS
    assert all(closed(load.answers[one]) for one in load.failed())
    # Whoever came after waited for the next worker, or asked the other one.
    assert [one for one in load.failed() if load.begun[one] > killed + 0.5] == []
    await place.settled(set(load.answers))
    workers = await place.workers()
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [1, 2, 1]


async def test_what_a_killed_worker_had_not_decided_is_refused_and_nothing_passes_unjudged(
    place: Place, load: Load
) -> None:
    # Both have connections of Envoy's: what waits for a connection to be accepted waits for the next worker.
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(20)] == [200] * 20
    await place.forget()
    pid = await place.pid(1)
    os.kill(pid, signal.SIGSTOP)
    asked = [spawn(load.client.post(CHAT, json=PROMPT), name="client") for _ in range(20)]
    await asyncio.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert all(closed(answer) for answer in refused)
    assert len(refused) < 20
    assert await place.arrived() == 20 - len(refused)
    await place.until(lambda: place.count("worker_started") == 4)
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(20)] == [200] * 20


async def test_who_has_no_connection_yet_waits_for_the_next_worker(place: Place, load: Load) -> None:
    pids = [await place.pid(index) for index in (1, 2)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    # Until Envoy has seen its connections end, a request may still be sent to one of them.
    await place.until(lambda: place.count("worker_ended") == 2)
    await asyncio.sleep(0.1)
    assert [(await load.client.post(CHAT, json=PROMPT)).status_code for _ in range(5)] == [200] * 5


async def test_decisions_do_not_notice_that_settlement_is_killed(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    os.kill(await place.pid(0), signal.SIGKILL)
    await load.until(50)
    await place.until(lambda: place.count("worker_started") == 4)
    await load.until(50)
    await load.stop()
    assert load.faults == []
    assert load.statuses() == {200: len(load.answers)}
    before = len(place.completions())
    again = [await load.client.post(CHAT, json=PROMPT) for _ in range(20)]
    await place.settled({answer.headers["x-request-id"] for answer in again})
    assert before > 0
    workers = await place.workers()
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [2, 1, 1]
    assert [workers[index]["counters"]["completions"] for index in (1, 2)] == [0, 0]


async def test_those_that_hang_are_asked_little_and_replaced(place: Place, load: Load) -> None:
    """One that decides and the one that settles are stopped: neither says a word, and neither answers Envoy's pings."""
    load.start()
    await load.until(50)
    await place.forget()
    begun = len(load.answers)
    for index in (0, 1):
        os.kill(await place.pid(index), signal.SIGSTOP)
    await place.until(lambda: place.count("worker_ended") == 2)
    await place.until(lambda: place.count("worker_started") == 5)
    await load.until(50)
    workers = await place.workers()
    while not all(worker["ready"] for worker in workers.values()):
        await asyncio.sleep(0.1)
        workers = await place.workers()
    replaced = time.monotonic()
    await load.until(50)
    await load.stop()
    assert load.faults == []
    assert all(closed(load.answers[one]) for one in load.failed())
    assert len(load.failed()) < (len(load.answers) - begun) / 4
    assert [one for one in load.failed() if load.begun[one] > replaced] == []
    assert {one["why"] for one in place.events() if one["event"] == "worker_killed"} == {"silent for 10 s"}
    assert [workers[index]["starts"] for index in (0, 1, 2)] == [2, 2, 1]
    again = [await load.client.post(CHAT, json=PROMPT) for _ in range(20)]
    await place.settled({answer.headers["x-request-id"] for answer in again})


async def test_a_bad_configuration_keeps_the_old_one(place: Place, load: Load) -> None:
    before = {index: worker["pid"] for index, worker in (await place.workers()).items()}
    tree = place.tree()
    tree["policies"][1]["settings"]["roles"] = {"User": ["none"]}
    tree["timeouts"] = {"idle": 0}
    place.config.write_text(yaml.safe_dump(tree))
    load.start()
    await place.reload("reload_refused")
    await load.until(30)
    await load.stop()
    assert load.statuses() == {200: len(load.answers)}
    assert {index: worker["pid"] for index, worker in (await place.workers()).items()} == before
    (refused,) = [one for one in place.events() if one["event"] == "reload_refused"]
    assert len(refused["mistakes"]) == 2
    assert all(line.startswith(f"{place.config}:") for line in refused["mistakes"])


async def test_a_new_configuration_takes_effect_without_a_gap(place: Place, load: Load) -> None:
    tree = place.tree()
    tree["policies"][1]["settings"]["roles"] = {"Nobody": ["all"]}
    tree["timeouts"] = {"total": 100}
    place.config.write_text(yaml.safe_dump(tree))
    load.start()
    await place.reload()
    await load.until(30)
    await load.stop()
    assert load.faults == []
    assert set(load.statuses()) <= {200, 403}
    assert (await load.client.post(CHAT, json=PROMPT)).status_code == 403
    (done,) = [one for one in place.events() if one["event"] == "reloaded"]
    assert done["envoy_depends_on"] == ["timeouts"]


async def test_the_end_finishes_what_has_begun_and_settles_it(place: Place, load: Load) -> None:
    load.start()
    await load.until(50)
    place.signal(signal.SIGTERM)
    await place.until(lambda: place.count("stopped") == 1)
    await load.until(20)
    await load.stop()
    assert place.server is not None
    assert place.server.process.wait(10) == 0
    assert load.faults == []
    assert all(closed(load.answers[one]) for one in load.failed())
    assert load.failed()
    await place.settled(load.passed())
    assert not list(place.folder.glob("*.sock"))
    ended = [one["worker"] for one in place.events() if one["event"] == "worker_ended"]
    assert (sorted(ended[:2]), ended[2:]) == ([1, 2], [0])


async def test_workers_go_when_their_supervisor_was_killed(place: Place, load: Load) -> None:
    pids = [worker["pid"] for worker in (await place.workers()).values()]
    place.signal(signal.SIGKILL)
    await place.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert closed(await load.client.post(CHAT, json=PROMPT))
