"""The simulator's faults and manners, seen from the wire, and what it tells of the requests that reached it."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.loadtests.asking import CHAT, PROMPT, fetch
from tests.servers import HOST, Simulator, running_simulator

STREAMED: Final = CHAT | {"stream": True}


def test_identical_requests_get_identical_bytes(simulator: Simulator) -> None:
    for path, body in (
        ("/v1/chat/completions", STREAMED),
        ("/v1/responses", {"model": "m", "input": PROMPT, "stream": True}),
        ("/v1/messages", STREAMED | {"max_tokens": 99}),
    ):
        assert fetch(simulator, path, body).content == fetch(simulator, path, body | {"user": "other"}).content
        assert fetch(simulator, path, body).content != fetch(simulator, path, body | {"model": "n"}).content


@pytest.mark.parametrize("split", [1, 7, 4096])
def test_splitting_changes_no_byte(simulator: Simulator, split: int) -> None:
    whole = fetch(simulator, "/v1/chat/completions", STREAMED).content
    assert fetch(simulator, "/v1/chat/completions", STREAMED, split=split).content == whole
    assert fetch(simulator, "/v1/chat/completions", STREAMED, split=split, chunk_delay_ms=0.001).content == whole


@pytest.mark.parametrize(("name", "newline"), [("crlf", b"\r\n"), ("cr", b"\r")])
def test_newlines(simulator: Simulator, name: str, newline: bytes) -> None:
    whole = fetch(simulator, "/v1/chat/completions", STREAMED).content
    assert fetch(simulator, "/v1/chat/completions", STREAMED, newline=name).content == whole.replace(b"\n", newline)


@pytest.mark.parametrize("body", [CHAT, STREAMED])
def test_gzip(simulator: Simulator, body: dict[str, Any]) -> None:
    plain = fetch(simulator, "/v1/chat/completions", body).content
    url = f"{simulator.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers={"x-sim-gzip": "1"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain


@pytest.mark.parametrize("delay", ["0", "1"])
def test_cut_after_events(simulator: Simulator, delay: str) -> None:
    received: list[bytes] = []
    headers = {"x-sim-cut-after": "3", "x-sim-chunk-delay-ms": delay}
    url = f"{simulator.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=STREAMED, headers=headers) as answer, pytest.raises(httpx.RemoteProtocolError):
        received.extend(answer.iter_raw())
    assert b"".join(received).count(b"\n\n") == 3
    assert fetch(simulator, "/v1/chat/completions", STREAMED, cut_after=1000).content.endswith(b"[DONE]\n\n")


def test_cut_after_bytes(simulator: Simulator) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        fetch(simulator, "/v1/chat/completions", CHAT, cut_after=10)


def test_no_usage(simulator: Simulator) -> None:
    asked = STREAMED | {"stream_options": {"include_usage": True}}
    for path, body in (
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", asked),
        ("/v1/embeddings", {"model": "m", "input": "x"}),
        ("/v1/responses", {"model": "m", "input": "x", "stream": True}),
        ("/v1/messages", STREAMED | {"max_tokens": 9}),
    ):
        assert "usage" not in fetch(simulator, path, body, no_usage=1).text


def test_latency_is_waited_for(simulator: Simulator) -> None:
    begun = time.monotonic()
    fetch(simulator, "/v1/chat/completions", CHAT, latency_ms=150)
    assert time.monotonic() - begun >= 0.15


def test_hang(simulator: Simulator) -> None:
    httpx.delete(f"{simulator.url}/sim/requests")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{simulator.url}/v1/chat/completions", json=CHAT, headers={"x-sim-hang": "1"}, timeout=0.2)
    assert httpx.get(f"{simulator.url}/sim/requests").json()["total"] == 1


# The witness


def test_tells_what_arrived(simulator: Simulator) -> None:
    url = f"{simulator.url}/sim/requests"
    assert httpx.delete(url).json() == {"total": 0, "requests": []}
    httpx.put(f"{simulator.url}/agents/billing/x%2Fy?q=1", content=b"abc", headers=[("x-one", "1"), ("x-one", "2")])
    told = httpx.get(url).json()
    arrival = told["requests"][0]
    assert told["total"] == 1
    assert (arrival["method"], arrival["path"]) == ("PUT", "/agents/billing/x%2Fy?q=1")
    assert [pair for pair in arrival["headers"] if pair[0] == "x-one"] == [["x-one", "1"], ["x-one", "2"]]
    assert arrival["body_length"] == 3
    assert arrival["body_sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert arrival["complete"]


def test_a_request_whose_body_never_ends_has_arrived(simulator: Simulator) -> None:
    httpx.delete(f"{simulator.url}/sim/requests")
    with socket.create_connection((HOST, simulator.port)) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        time.sleep(0.1)
        told = httpx.get(f"{simulator.url}/sim/requests").json()
    assert (told["total"], told["requests"][0]["complete"]) == (1, False)


def test_echo(simulator: Simulator) -> None:
    told = httpx.get(f"{simulator.url}/agents/billing/run", headers={"x-tenant-id": "t1"}).json()
    assert (told["method"], told["path"]) == ("GET", "/agents/billing/run")
    assert ["x-tenant-id", "t1"] in told["headers"]
    assert httpx.get(f"{simulator.url}/anything", headers={"x-sim-status": "500"}).status_code == 500


def test_serves_on_a_unix_socket(tmp_path: Path) -> None:
    with running_simulator(uds=tmp_path / "s") as running:
        transport = httpx.HTTPTransport(uds=str(running.uds))
        with httpx.Client(transport=transport, base_url="http://simulator") as client:
            assert client.get("/v1/models").status_code == 200
    assert running.process.returncode == 0
    assert not (tmp_path / "s").exists()
