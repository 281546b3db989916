"""A cluster: calls find the node that has the slot, also while slots move, nodes die and maps are old."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import hiredis
import pytest
from redis.crc import key_slot

from extproc.embedded.ports import free_port
from extproc.tasks import spawn
from policies.limits.redis_client import RedisClient, Script
from policies.limits.redis_settings import Mode, RedisSettings
from policies.limits.store import StoreUnavailableError
from tests.redis_servers import RedisCluster, RedisServer, node_id, running_cluster, running_replica
from tests.servers import HOST

ECHO = Script("return {KEYS[1], ARGV[1]}")
BOTH = Script("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}")


@contextlib.asynccontextmanager
async def connected(settings: RedisSettings) -> AsyncIterator[RedisClient]:
    """A client, once all masters are connected."""
    client = RedisClient(settings)
    await client.start()
    try:
        await until_ready(client)
        yield client
    finally:
        await client.stop()


async def until_ready(client: RedisClient) -> None:
    async with asyncio.timeout(10):
        while client.readiness() is not None:
            await asyncio.sleep(0.005)


class Moving:
    """A slot that is moved from one node to another by hand. `key` is in it."""

    def __init__(self, clients: list[Any], key: str) -> None:
        self.slot = key_slot(key.encode())
        self._clients = clients
        self._ids = [node_id(client) for client in clients]
        owner = next(index for index, client in enumerate(clients) if _has(client, self.slot))
        heir = (owner + 1) % len(clients)
        self.owner, self.heir = clients[owner], clients[heir]
        self._owner_id, self._heir_id = self._ids[owner], self._ids[heir]

    def begin(self) -> None:
        self.heir.execute_command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self._owner_id)
        self.owner.execute_command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self._heir_id)

    def carry(self, *keys: str) -> None:
        port = self.heir.config_get("port")["port"]
        self.owner.execute_command("MIGRATE", HOST, port, "", 0, 5_000, "KEYS", *keys)

    def end(self) -> None:
        """The heir has it, and all are told."""
        for client in (self.heir, self.owner, *self._clients):
            client.execute_command("CLUSTER", "SETSLOT", self.slot, "NODE", self._heir_id)


@contextlib.contextmanager
def moving(cluster: RedisCluster, key: str) -> Iterator[Moving]:
    with contextlib.ExitStack() as stack:
        yield Moving([stack.enter_context(node.client()) for node in cluster.nodes], key)


def _has(client: Any, slot: int) -> bool:
    port = client.config_get("port")["port"]
    client.set_response_callback("CLUSTER SLOTS", lambda answer, **_: answer)
    slots = client.execute_command("CLUSTER SLOTS")
    return any(first <= slot <= last and str(master[1]) == port for first, last, master, *_ in slots)


def _keys(client: Any, slot: int) -> Any:
    return client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)


async def test_it_is_asked_where_the_key_is(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster.settings()) as client:
        before = sum(await client.on_each_master("DBSIZE"))
        for index in range(30):
            await client.command(f"key-{index}", "SET", f"key-{index}", index)
        answers = [await client.command(f"key-{index}", "GET", f"key-{index}") for index in range(30)]
        assert [int(answer) for answer in answers] == list(range(30))
        assert sum(await client.on_each_master("DBSIZE")) == before + 30
        assert client.counters()["reconnects"] == client.counters()["moved"] == client.counters()["failures"] == 0


async def test_one_node_is_enough_to_find_the_others(redis_cluster: RedisCluster) -> None:
    nodes = (f"{HOST}:{redis_cluster.nodes[1].port}",)
    async with connected(redis_cluster.settings(nodes=nodes)) as client:
        assert await client.on_each_master("PING") == [b"PONG"] * 3


async def test_an_error_is_no_answer_of_a_master(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster.settings()) as client:
        with pytest.raises(StoreUnavailableError, match="Redis answered ERR"):
            await client.on_each_master("HGET", "too-few")
        assert client.counters()["failures"] == 1


async def test_a_slot_that_moved_is_found_again(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster.settings()) as client:
        assert await client.script(ECHO, "{gone}", ["{gone}"], ["1"]) == [b"{gone}", b"1"]
        with moving(redis_cluster, "{gone}") as slot:
            slot.end()
        assert await client.script(ECHO, "{gone}", ["{gone}"], ["2"]) == [b"{gone}", b"2"]
        assert client.counters()["moved"] == 1
        assert await client.script(ECHO, "{gone}", ["{gone}"], ["3"]) == [b"{gone}", b"3"]
        assert client.counters()["moved"] == 1


async def test_a_slot_on_its_way_is_asked_for_at_both_ends(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster.settings()) as client:
        await client.command("{way}old", "SET", "{way}old", "old")
        with moving(redis_cluster, "{way}") as slot:
            slot.begin()
            # What is there already stays there; what is not comes to be at the new place.
            assert await client.command("{way}old", "GET", "{way}old") == b"old"
            await client.command("{way}new", "SET", "{way}new", "new")
            assert await client.script(ECHO, "{way}new", ["{way}new"], ["1"]) == [b"{way}new", b"1"]
            assert [_keys(node, slot.slot) for node in (slot.owner, slot.heir)] == [1, 1]
            assert client.counters()["moved"] == 0
            slot.carry("{way}old")
            slot.end()
        assert await client.command("{way}old", "GET", "{way}old") == b"old"
        assert await client.command("{way}new", "GET", "{way}new") == b"new"


async def test_keys_that_are_parted_are_waited_for(redis_cluster: RedisCluster) -> None:
    async with connected(redis_cluster.settings(timeout=5.0)) as client:
        for key in ("{two}a", "{two}b"):
            await client.command(key, "SET", key, key)
        with moving(redis_cluster, "{two}") as slot:
            slot.begin()
            slot.carry("{two}a")
            with pytest.raises(StoreUnavailableError, match="TRYAGAIN"):
                await client.script(BOTH, "{two}a", ["{two}a", "{two}b"], [], deadline=0.05)
            waiting = spawn(client.script(BOTH, "{two}a", ["{two}a", "{two}b"], []), name="waits")
            await asyncio.sleep(0.05)
            assert not waiting.done()
            slot.carry("{two}b")
            slot.end()
            assert await waiting == [b"{two}a", b"{two}b"]


async def test_a_replica_takes_the_place_of_a_master_that_died() -> None:
    with running_cluster(node_timeout=500) as cluster, running_replica(cluster, 0, node_timeout=500):
        # The one that dies is none of those that were named.
        nodes = tuple(f"{HOST}:{node.port}" for node in cluster.nodes[1:])
        key = next(key for key in map(str, range(1_000)) if _has_key(cluster.nodes[0], key))
        async with connected(cluster.settings(nodes=nodes, timeout=0.5)) as client:
            await client.command(key, "SET", key, "kept")
            with cluster.nodes[0].client() as master:
                assert master.wait(1, 5_000) == 1
            before = client.counters()
            cluster.nodes[0].kill()
            assert await _once_answered(client, key) == b"kept"
            await until_ready(client)
            after = client.counters()
            assert {name for name in after if after[name] < before[name]} == set()
            assert after["failures"] > before["failures"]
            assert await client.on_each_master("PING") == [b"PONG"] * 3


def _has_key(node: RedisServer, key: str) -> bool:
    with node.client() as client:
        return _has(client, key_slot(key.encode()))


async def _once_answered(client: RedisClient, key: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.command(key, "GET", key)
            except StoreUnavailableError:
                await asyncio.sleep(0.02)


class Node:
    """A node that tells a map of its own, and answers every other command alike."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.slots = b"*0\r\n"
        self.port = 0

        self.others: dict[bytes, bytes] = {b"CLIENT": b"+OK\r\n"}
        self.asked: Counter[bytes] = Counter()
        self.connections: set[Connection] = set()

    async def start(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: Connection(self), HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def says(self, name: bytes) -> bytes:
        self.asked[name] += 1
        return self.slots if name == b"CLUSTER" else self.others.get(name, self.answer)

    async def left(self) -> None:
        """Until nobody is connected."""
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.sleep(0.005)


class Connection(asyncio.Protocol):
    """One connection to such a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._commands = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._node.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._commands.feed(data)
        while (words := self._commands.gets()) is not False:
            self._transport.write(self._node.says(bytes(words[0])))

    def connection_lost(self, exc: Exception | None) -> None:
        self._node.connections.discard(self)


def all_at(port: int) -> bytes:
    """An answer to CLUSTER SLOTS: one node has all."""
    return f"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n${len(HOST)}\r\n{HOST}\r\n:{port}\r\n".encode()


@contextlib.asynccontextmanager
async def cluster_of(*nodes: Node) -> AsyncIterator[RedisSettings]:
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            server = await node.start()
            stack.push_async_callback(node.left)
            stack.callback(server.close)
        named = tuple(f"{HOST}:{node.port}" for node in nodes)
        yield RedisSettings(mode=Mode.CLUSTER, nodes=named, timeout=1.0)


async def test_most_of_the_nodes_are_believed() -> None:
    cut_off, master, other = Node(b"-CLUSTERDOWN The cluster is down\r\n"), Node(b"+master\r\n"), Node(b"-ERR other\r\n")
    async with cluster_of(cut_off, master, other) as settings:
        cut_off.slots = all_at(cut_off.port)
        master.slots = other.slots = all_at(master.port)
        # Whoever asks for this learns that the map may be old.
        master.others[b"PING"] = f"-MOVED 7 {HOST}:{master.port}\r\n".encode()
        client = RedisClient(settings)
        await client.start()
        assert await _once_answered(client, "k") == b"master"
        for node in (cut_off, master, other):
            await _until_read(client, node, 1)
        before = cut_off.asked[b"GET"]
        for _ in range(10):
            await _until_read(client, cut_off, cut_off.asked[b"CLUSTER"] + 1)
            assert await client.command("k", "GET", "k") == b"master"
        assert cut_off.asked[b"GET"] == before
        await client.stop()


async def _until_read(client: RedisClient, node: Node, times: int) -> None:
    """Until this node has told its map so often."""
    async with asyncio.timeout(10):
        while node.asked[b"CLUSTER"] < times:
            with pytest.raises(StoreUnavailableError, match="MOVED"):
                await client.command("k", "PING")
            await asyncio.sleep(0.005)


async def test_nodes_that_send_us_round_in_circles_are_left() -> None:
    one, another = Node(b""), Node(b"")
    async with cluster_of(one, another) as settings:
        one.slots = another.slots = all_at(one.port)
        one.answer = f"-MOVED 7 {HOST}:{another.port}\r\n".encode()
        another.answer = f"-MOVED 7 {HOST}:{one.port}\r\n".encode()
        async with connected(settings) as client:
            with pytest.raises(StoreUnavailableError, match="MOVED"):
                await client.command("k", "GET", "k")
            assert 2 <= client.counters()["moved"] <= 10


@pytest.mark.parametrize("told", [b"-MOVED 7 nowhere\r\n", b"-ASK 7 host:port\r\n"])
async def test_a_redirection_that_cannot_be_followed(told: bytes) -> None:
    node = Node(told)
    async with cluster_of(node) as settings:
        node.slots = all_at(node.port)
        async with connected(settings) as client:
            with pytest.raises(StoreUnavailableError):
                await client.command("k", "GET", "k")


async def test_a_cluster_without_an_owner_of_the_slot_was_not_asked() -> None:
    node = Node(b"+OK\r\n")
    async with cluster_of(node) as settings:
        node.slots = all_at(node.port).replace(b":16383", b":0")
        async with connected(settings) as client:
            with pytest.raises(StoreUnavailableError, match="no node of the cluster has this slot") as caught:
                await client.command("k", "GET", "k")
            assert not caught.value.asked


async def test_one_that_was_never_there_is_not_ready() -> None:
    client = RedisClient(RedisSettings(mode=Mode.CLUSTER, nodes=(f"{HOST}:{free_port()}",)))
    assert client.readiness() is not None
    await client.start()
    with pytest.raises(StoreUnavailableError, match="no node of the cluster has told") as caught:
        await client.command("k", "PING")
    assert not caught.value.asked
    assert "no node of the cluster has told" in str(client.readiness())
    await client.stop()
