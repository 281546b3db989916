"""What is started: configurations, counters, peers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from extproc.protos import ProcessingRequest, ProcessingResponse, StreamAccessLogsMessage
from extproc.transport import ProtocolError
from loadtests.bench import peers, targets
from loadtests.bench.echo import Counter, Echo
from loadtests.bench.processes import Completions
from loadtests.bench.targets import KINDS, Kind


def test_completions_are_counted_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b'{"event":"listening"}\nnot json\n{"event":"completion","ending":"answered","usage":{}}\n{"event":"comp'
    )
    counts = Completions(log)
    assert (counts.read(), counts.unmetered) == (1, 0)
    with log.open("ab") as more:
        more.write(b'letion","ending":"answered"}\n{"event":"completion","ending":"client_gone"}\n')
    assert (counts.read(), counts.unmetered) == (3, 1)


def test_the_echo_says_how_many_there_were(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b'{"event":"settled","count":3}\n{"event":"settled","count":8}\n')
    counts = Completions(log)
    assert (counts.read(), counts.unmetered) == (8, 0)


def test_the_echo_allows_everything_and_only_after_the_body() -> None:
    echo = Echo()
    request = ProcessingRequest()
    request.request_headers.SetInParent()
    reply = ProcessingResponse.FromString(echo.receive(request.SerializeToString()))
    assert reply.WhichOneof("response") == "request_headers"
    assert (echo.may_end, echo.is_over) == (False, False)
    request.request_body.body = b"{}"
    reply = ProcessingResponse.FromString(echo.receive(request.SerializeToString()))
    assert reply.WhichOneof("response") == "request_body"
    assert reply.dynamic_metadata["sluicegate"]["verdict"] == "allow"
    assert (echo.may_end, echo.is_over) == (True, True)
    request.response_headers.SetInParent()
    with pytest.raises(ProtocolError):
        echo.receive(request.SerializeToString())


def test_the_echo_counts_entries_not_messages() -> None:
    counter = Counter()
    message = StreamAccessLogsMessage()
    for _ in range(3):
        message.http_logs.log_entry.add()
    for _ in range(2):
        counter.take(message.SerializeToString())
    assert counter.settled == 6


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_target_has_its_transport_and_its_chain(tmp_path: Path, kind: Kind) -> None:
    tree = targets.gateway_tree(
        port=1, socket=tmp_path / "s", upstream="http://127.0.0.1:2", identity="http://127.0.0.1:3", kind=kind
    )
    assert tree["server"].get("transport") == kind.transport
    names = [entry["policy"] for entry in tree["policies"]]
    further = {"limits": ["limits"], "cost": ["cost"]} | {mind: ["audit"] for mind in targets.JOURNALS}
    assert names == (["bench_nothing"] if kind.mind == "empty" else ["entra", "access", *further.get(kind.mind, [])])


def test_plain_envoy_is_the_gateway_without_us(tmp_path: Path) -> None:
    tree = targets.gateway_tree(
        port=1,
        socket=tmp_path / "s",
        upstream="http://127.0.0.1:2",
        identity="http://127.0.0.1:3",
        kind=Kind("x", "wire"),
    )
    admin = tmp_path / "a"
    gateway = targets.gateway(tree, admin)["static_resources"]
    plain = targets.plain(tree, admin, ceiling_port=4, ceiling_body="{}")["static_resources"]
    assert "sluicegate_policy" not in json.dumps(plain)
    ours, theirs = (part["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"] for part in (plain, gateway))
    assert [entry["name"] for entry in ours["http_filters"]] == ["envoy.filters.http.router"]
    kept = set(theirs) - {"access_log", "http_filters", "route_config"}
    assert {name: ours[name] for name in kept} == {name: theirs[name] for name in kept}
    assert set(ours) == set(theirs) - {"access_log"}
    route, gateways = (manager["route_config"]["virtual_hosts"][0]["routes"] for manager in (ours, theirs))
    assert route == [{**gateways[0], "match": {"prefix": "/"}}]
    assert plain["clusters"][0] in gateway["clusters"]


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.usefixtures("_own_cache")
async def test_a_peer_that_cannot_be_installed_is_left_out_with_a_reason() -> None:
    peer = replace(peers.PEERS[1], needs="no-such-program")
    with pytest.raises(peers.PeerUnavailableError, match=r"portkey was not measured: no-such-program is not installed"):
        await peers.install(peer)


@pytest.mark.usefixtures("_own_cache")
async def test_an_environment_that_is_complete_is_used_again() -> None:
    peer = peers.PEERS[0]
    peer.folder.mkdir(parents=True)
    assert not peer.is_installed
    (peer.folder / "complete").touch()
    assert "installed before" in await peers.install(peer)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_pointed_at_the_upstream(peer: peers.Peer, tmp_path: Path) -> None:
    plan = peers.plan(peer, 1234, "http://127.0.0.1:5/v1", tmp_path)
    written = "".join(path.read_text() for path in tmp_path.glob("*.yaml"))
    assert "1234" in " ".join(plan.program)
    assert "http://127.0.0.1:5/v1" in written or "{upstream}" in str(peer.fields)
