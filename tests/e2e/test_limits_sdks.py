"""What SDKs make of limits: they read the fields, wait as long as they are told, and give up where waiting is no use."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import openai
import pytest
import pytest_asyncio

from extproc.embedded.demo_tokens import demo_guid
from extproc.tasks import spawn
from tests.ai_gateway import PROFILE
from tests.limited import TENANT, Limited, limited
from tests.redis_servers import running_redis
from tests.servers import running_simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPENAI_NODE: Final = "openai@6"
SCRIPT: Final = Path(__file__).with_name("node") / "ask.mjs"
RETRIES: Final = 5


def _user(name: str) -> dict[str, str]:
    return {"user": demo_guid("user", f"{TENANT}/{name}")}


LIMITS: Final[list[dict[str, Any]]] = [
    {"subject": "user", "requests_per_minute": 60, "tokens_per_minute": 100_000},
    {"subject": "user", "match": _user("single"), "parallel_requests": 1},
    {"subject": "user", "match": _user("spent"), "tokens_per_day": 10},
    {"subject": "user", "match": _user("poor"), "dollars_per_month": 0.001},
    {"subject": "user", "match": _user("suspended"), "requests_per_day": 0},
    {"subject": "user", "match": _user("careful"), "requests_per_day": 10, "soft": 0.05},
]


@dataclass(slots=True)
class Told:
    """What an SDK made of it: the status, header fields, and the exception that it raised."""

    status: int
    seconds: float
    headers: Mapping[str, str]
    raised: str = ""
    code: str = ""
    message: str = ""


Ask = Callable[[Limited, str], Awaitable[Told]]


async def by_python(gateway: Limited, user: str) -> Told:
    """One chat by openai-python."""
    token = gateway.headers(user)["authorization"].removeprefix("Bearer ")
    began = time.monotonic()
    async with openai.AsyncOpenAI(base_url=f"{gateway.envoy.url}/v1", api_key=token, max_retries=RETRIES) as client:
        try:
            answer = await client.chat.completions.with_raw_response.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Say something."}]
            )
        except openai.APIStatusError as error:
            spent = time.monotonic() - began
            told = Told(error.status_code, spent, error.response.headers, type(error).__name__)
            told.code, told.message = str(error.code), error.message
            return told
    return Told(answer.status_code, time.monotonic() - began, answer.headers)


@dataclass(slots=True)
class Node:
    """openai-node, installed once for the module."""

    folder: Path
    _installed: bool = field(default=False)

    async def __call__(self, gateway: Limited, user: str) -> Told:
        """One chat by openai-node."""
        token = gateway.headers(user)["authorization"].removeprefix("Bearer ")
        process = await asyncio.create_subprocess_exec(
            *("node", str(self.folder / SCRIPT.name), f"{gateway.envoy.url}/v1", token, str(RETRIES)),
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
        told = json.loads(output)
        return Told(
            *(told["status"], told["seconds"], told["headers"]),
            *(told.get("name", ""), told.get("code", ""), told.get("message", "")),
        )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on the PATH")
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(SCRIPT, folder)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), OPENAI_NODE]
    subprocess.run(npm, check=True, timeout=120)
    return Node(folder)


@pytest.fixture(params=["openai-python", "openai-node"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "openai-python":
        return by_python
    found: Node = request.getfixturevalue("node")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Limited]:
    with (
        tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder,
        running_simulator() as simulator,
        running_redis() as valkey,
    ):
        async with limited(Path(folder), simulator.url, valkey, LIMITS) as gateway:
            yield gateway


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _anew(gateway: Limited) -> None:
    """Nothing has been used, and nothing is under way."""
    while await gateway.reserved():
        await asyncio.sleep(0.02)
    with gateway.store.client() as client:
        client.flushall()
    await gateway.forget()


async def test_fields_of_an_answer_are_those_that_sdks_read(gateway: Limited, ask: Ask) -> None:
    told = await ask(gateway, "alice")
    assert told.status == 200
    assert told.headers["x-ratelimit-limit-requests"] == "60"
    assert told.headers["x-ratelimit-remaining-requests"] == "59"
    assert told.headers["x-ratelimit-limit-tokens"] == "100000"
    assert 90_000 < int(told.headers["x-ratelimit-remaining-tokens"]) < 100_000
    for name in ("requests", "tokens"):
        assert told.headers[f"x-ratelimit-reset-{name}"].endswith("s")
    assert "x-sluicegate-limit-warning" not in told.headers
    assert "x-sluicegate-limit-warning" in (await ask(gateway, "careful")).headers


async def test_an_sdk_waits_for_as_long_as_it_is_told_and_asks_again(gateway: Limited, ask: Ask) -> None:
    before = spawn(gateway.ask("single", latency_ms=800), name="in the way")
    while not await gateway.arrived():
        await asyncio.sleep(0.01)
    so_far = len(_of("single", gateway))
    told = await ask(gateway, "single")
    assert (await before).status_code == 200
    assert told.status == 200
    assert told.seconds >= 1.0

    def statuses() -> list[int]:
        return sorted(one["status"] for one in _of("single", gateway)[so_far:])

    await gateway.until(lambda: statuses().count(200) >= 2)
    refused = statuses()[2:]
    # In front of AI Gateway the place is free a second later, for so long Envoy holds its log back.
    assert refused in ([[429]] if PROFILE == "plain" else [[429], [429, 429]])


@pytest.mark.parametrize(
    ("user", "status", "raised", "code"),
    [
        ("spent", 429, "RateLimitError", "request_exceeds_limit"),
        ("poor", 429, "RateLimitError", "budget_exceeded"),
        ("suspended", 403, "PermissionDeniedError", "suspended"),
    ],
)
async def test_where_waiting_is_no_use_an_sdk_gives_up_at_once(
    gateway: Limited, ask: Ask, user: str, status: int, raised: str, code: str
) -> None:
    if user == "poor":
        # Until nothing that is worth granting is left.
        while (last := await gateway.ask(user, tokens=500)).status_code == 200:
            await asyncio.sleep(0.1)
        await gateway.until(lambda: any(one["request_id"] == last.headers["x-request-id"] for one in _of(user, gateway)))
    before = len(_of(user, gateway))
    told = await ask(gateway, user)
    assert (told.status, told.raised, told.code) == (status, raised, code)
    assert told.seconds < 5
    assert told.headers["x-should-retry"] == "false"
    if user == "poor":
        assert int(told.headers["retry-after"]) > 60
        assert int(told.headers["retry-after-ms"]) > 60_000
        assert "resets at" in told.message
    assert "user" in told.message
    await gateway.until(lambda: len(_of(user, gateway)) > before)
    await asyncio.sleep(0.5)
    assert len(_of(user, gateway)) == before + 1, "it was asked more than once"


def _of(user: str, gateway: Limited) -> list[dict[str, Any]]:
    """The completions of a user."""
    return [one for one in gateway.completions() if one.get("user_id") == _user(user)["user"]]
