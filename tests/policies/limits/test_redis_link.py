"""One connection: answers go to whom they belong, whatever is lost, cut up or made up on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.limits.redis_link import Address, RedisLink, Word
from policies.limits.store import StoreUnavailableError
from tests.servers import HOST

PATIENCE = 10.0


class Peer:
    """A server that keeps what it is sent, and answers when and as it is told to."""

    def __init__(self) -> None:
        self.transports: list[asyncio.Transport] = []
        self.began: list[float] = []
        self.asked: list[Any] = []
        self.open = 0

    def connection(self) -> asyncio.Protocol:
        return _Connection(self)

    def answers(self, words: Any) -> bytes:
        """To one command; nothing: later, by hand."""
        return b""


class _Connection(asyncio.Protocol):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer.open += 1
        self._peer.transports.append(self._transport)
        self._peer.began.append(asyncio.get_running_loop().time())

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (words := self._reader.gets()) is not False:
            self._peer.asked.append(words)
            self._transport.write(self._peer.answers(words))

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.open -= 1


@contextlib.asynccontextmanager
async def linked(peer: Peer, greeting: Sequence[Sequence[Word]] = (), **options: Any) -> AsyncIterator[RedisLink]:
    """A link to this peer, begun."""
    server = await asyncio.get_running_loop().create_server(peer.connection, HOST, 0)

    async def locate() -> Address:
        return (HOST, server.sockets[0].getsockname()[1])

    link = RedisLink(options.pop("locate", locate), greeting=lambda: greeting, **options)
    link.start()
    try:
        yield link
    finally:
        await link.stop()
        server.close()
        async with asyncio.timeout(PATIENCE):
            while peer.open:
                await asyncio.sleep(0.001)


async def ready(link: RedisLink) -> None:
    await link.connected(asyncio.get_running_loop().time() + PATIENCE)


async def asked(peer: Peer, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(peer.asked) < count:
            await asyncio.sleep(0.001)


class Echo(Peer):
    """Answers with the second word."""

    def answers(self, words: Any) -> bytes:
        return b"$%d\r\n%s\r\n" % (len(words[1]), words[1])


async def test_what_one_turn_asks_leaves_in_one_write() -> None:
    async with linked(Echo()) as link:
        await ready(link)
        answers = await asyncio.gather(*(link.call(("ECHO", index), 5.0) for index in range(500)))
        assert answers == [str(index).encode() for index in range(500)]
        assert (link.calls, link.batches, link.timeouts, link.connections) == (500, 1, 0, 1)


async def test_what_is_asked_while_answers_are_awaited_leaves_with_the_last_of_them() -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        first = [link.call(("X", index), 5.0) for index in range(2)]
        await asked(peer, 2)
        later = [link.call(("X", index), 5.0) for index in (2, 3, 4)]
        peer.transports[0].write(b":0\r\n")
        assert await first[0] == 0
        await asyncio.sleep(0.01)
        assert (len(peer.asked), link.batches) == (2, 1)
        peer.transports[0].write(b":1\r\n")
        assert await first[1] == 1
        await asked(peer, 5)
        assert link.batches == 2
        peer.transports[0].write(b":2\r\n:3\r\n:4\r\n")
        assert await asyncio.gather(*later) == [2, 3, 4]
        # Nothing is under way any more: who comes now waits for nobody.
        alone = link.call(("X", 5), 5.0)
        await asked(peer, 6)
        peer.transports[0].write(b":5\r\n")
        assert await alone == 5


async def test_answers_of_every_type_are_given_as_they_are() -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        asking = [link.call(("X",), 5.0) for _ in range(6)]
        await asked(peer, 6)
        peer.transports[0].write(b"+OK\r\n:7\r\n$-1\r\n*2\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n-ERR no\r\n")
        *answers, error = await asyncio.gather(*asking)
        assert answers == [b"OK", 7, None, [b"a", 1], b""]
        assert isinstance(error, hiredis.ReplyError)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=12)), min_size=1, max_size=25), st.data())
def test_however_answers_are_cut_up_each_gets_its_own(callers: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    whole = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for _, word in callers)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))

    async def check() -> None:
        peer = Peer()
        async with linked(peer) as link:
            await ready(link)
            asking = [link.call(("ECHO", word), 5.0) for _, word in callers]
            await asked(peer, len(callers))
            for (stays, _), future in zip(callers, asking, strict=True):
                if not stays:
                    future.cancel()
            for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                peer.transports[0].write(whole[start:end])
                await asyncio.sleep(0)
            for (stays, word), future in zip(callers, asking, strict=True):
                assert not stays or await future == word

    asyncio.run(check())


async def test_half_an_answer_is_none_and_the_rest_of_it_goes_to_nobody() -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        first = link.call(("A",), 5.0)
        await asked(peer, 1)
        peer.transports[0].write(b"$10\r\nhalf")
        peer.transports[0].close()
        with pytest.raises(StoreUnavailableError, match="lost") as caught:
            await first
        assert caught.value.asked
        assert not link.is_ready
        await ready(link)
        second = link.call(("B",), 5.0)
        await asked(peer, 2)
        peer.transports[1].write(b"+whole\r\n")
        assert await second == b"whole"


async def test_between_two_connections_calls_fail_at_once_and_were_not_asked() -> None:
    peer = Echo()
    async with linked(peer) as link:
        await ready(link)
        link.drop("given up")
        with pytest.raises(StoreUnavailableError, match="given up") as caught:
            link.call(("ECHO", 1), 5.0)
        assert not caught.value.asked
        await ready(link)
        assert await link.call(("ECHO", 2), 5.0) == b"2"
        assert link.connections == 2
        assert peer.asked == [[b"ECHO", b"2"]]


async def test_more_than_the_queue_holds_were_not_asked() -> None:
    peer = Peer()
    async with linked(peer, queue=2) as link:
        await ready(link)
        waiting = [link.call(("X",), 5.0) for _ in range(2)]
        with pytest.raises(StoreUnavailableError, match="unanswered") as caught:
            link.call(("X",), 5.0)
        assert not caught.value.asked
        await asked(peer, 2)
        peer.transports[0].write(b"+1\r\n+2\r\n")
        assert await asyncio.gather(*waiting) == [b"1", b"2"]


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*-7\r\n", b"$x\r\n", b"\x00\x00"])
async def test_who_speaks_another_protocol_is_left(said: bytes) -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        call = link.call(("X",), 5.0)
        await asked(peer, 1)
        peer.transports[0].write(said)
        with pytest.raises(StoreUnavailableError, match="protocol"):
            await call
        await ready(link)
        assert link.connections == 2


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        call = link.call(("X",), 5.0)
        await asked(peer, 1)
        peer.transports[0].write(b"+1\r\n+2\r\n")
        assert await call == b"1"
        await ready(link)
        assert link.connections == 2


class HangsUp(Peer):
    """Answers the greeting, and hangs up."""

    def answers(self, words: Any) -> bytes:
        self.transports[-1].write(b"+OK\r\n")
        self.transports[-1].close()
        return b""


async def test_who_greets_and_hangs_up_is_asked_ever_more_rarely() -> None:
    peer = HangsUp()
    async with linked(peer, [("CLIENT", "SETNAME", "x")]):
        async with asyncio.timeout(PATIENCE):
            while len(peer.began) < 7:
                await asyncio.sleep(0.01)
        # The sixth pause is drawn from 0.16 to 0.32 seconds.
        assert peer.began[6] - peer.began[5] >= 0.15


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"-WRONGPASS invalid\r\n+OK\r\n", "AUTH was refused: WRONGPASS"),
        (b"+OK\r\n-NOPERM no\r\n", "CLIENT was refused: NOPERM"),
        (b"HTTP/1.1 400\r\n\r\n", "the server does not speak Redis' protocol"),
    ],
)
async def test_who_refuses_the_greeting_is_no_connection(said: bytes, why: str) -> None:
    class Refuses(Peer):
        def answers(self, words: Any) -> bytes:
            return said if words[0] == b"AUTH" else b""

    async with linked(Refuses(), [("AUTH", "s3cret"), ("CLIENT", "SETNAME", "x")]) as link:
        async with asyncio.timeout(PATIENCE):
            while link.failure == "not connected yet":
                await asyncio.sleep(0.001)
        assert link.failure == why
        assert not link.is_ready
        assert link.connections == 0


async def test_who_never_answers_the_greeting_is_no_connection() -> None:
    peer = Peer()
    async with linked(peer, [("AUTH", "s3cret")], connect_timeout=0.05) as link:
        async with asyncio.timeout(PATIENCE):
            while len(peer.transports) < 2:
                await asyncio.sleep(0.001)
        assert not link.is_ready
        assert "TimeoutError" in link.failure


@pytest.mark.parametrize(
    "wrong", [("a" * 70 + ".example", 1), (HOST, 70_000), "/nowhere/\0.sock", "/nowhere.sock", RuntimeError("bug")]
)
async def test_nothing_ends_the_attempts_to_connect(wrong: Any) -> None:
    peer = Echo()
    server = await asyncio.get_running_loop().create_server(peer.connection, HOST, 0)
    places: list[Any] = [wrong, wrong]

    async def locate() -> Address:
        place = places.pop() if places else (HOST, server.sockets[0].getsockname()[1])
        if isinstance(place, Exception):
            raise place
        return cast("Address", place)

    async with linked(peer, locate=locate) as link:
        await ready(link)
        assert await link.call(("ECHO", "there"), 5.0) == b"there"
    server.close()


async def test_who_waited_for_a_connection_in_vain_was_not_asked(tmp_path: Path) -> None:
    async def locate() -> Address:
        return str(tmp_path / "none.sock")

    async with linked(Peer(), locate=locate) as link:
        with pytest.raises(StoreUnavailableError) as caught:
            await link.connected(asyncio.get_running_loop().time() + 0.02)
        assert not caught.value.asked


async def test_whoever_waits_when_it_is_stopped_has_no_answer() -> None:
    peer = Peer()
    async with linked(peer) as link:
        await ready(link)
        waiting = link.call(("X",), 5.0)
        await asked(peer, 1)
        await link.stop()
        with pytest.raises(StoreUnavailableError):
            await waiting
        with pytest.raises(StoreUnavailableError, match="stopped"):
            link.call(("X",), 5.0)
