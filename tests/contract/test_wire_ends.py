"""How streams and connections end on the wire, asked with hyper-h2."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Final

import h2.settings
import hyperframe.frame
import pytest

from extproc.transport import ACCESS_LOGS, HEALTH_CHECK, PROCESS
from extproc.wire import frames
from tests.h2_peer import connected, framed
from tests.servers import HOST
from tests.transports import Puppets, World, folder, serving

Code: Final = h2.settings.SettingCodes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with folder() as place:
        async with serving("wire", f"unix:{place}/policy.sock", Puppets()) as running:
            yield running


async def test_a_reset_stream_is_forgotten_and_its_number_is_not_reused(world: World) -> None:
    async with connected(world.address) as peer:
        for _ in range(200):
            peer.reset(await peer.call(PROCESS, framed(b"wait door never")))
        await peer.serves()
        counters = world.transport.counters()
        assert (counters["streams"], counters["streams_open"]) == (201, 1)
        assert world.violations() == []


async def test_a_reset_while_an_answer_is_on_its_way(world: World) -> None:
    async with connected(world.address, {Code.INITIAL_WINDOW_SIZE: 1_000}) as peer:
        peer.windows_open = False
        stream = await peer.call(PROCESS, framed(b"size 100000"))
        await peer.until(lambda: len(peer.answers[stream].data) == 1_000)
        # The window's update meets a stream that is gone: RFC 9113, section 5.1.
        update = hyperframe.frame.WindowUpdateFrame(stream, 5_000).serialize()
        peer.reset(stream)
        peer.say(update)
        peer.windows_open = True
        await peer.serves()
        assert world.violations() == []


async def test_a_peer_that_says_goodbye_gets_what_it_has_asked_for(world: World) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS, framed(b"wait door in time"))
        await world.puppets.until_waiting("door")
        peer.say(hyperframe.frame.GoAwayFrame(0, 0, 0).serialize())
        world.puppets.let("door")
        assert await peer.message(stream) == b"in time"
        await peer.send(stream, framed(b"over and out"))
        assert (await peer.answer(stream)).status == "0"


async def test_a_server_that_goes_says_so_twice_and_takes_what_was_on_its_way(world: World) -> None:
    """RFC 9113, section 6.8: first a GOAWAY that excludes nothing, and the true one a round trip later."""
    async with connected(world.address) as peer:
        slow = await peer.call(PROCESS, framed(b"wait door in time"))
        await world.puppets.until_waiting("door")
        stopping = asyncio.gather(world.transport.stop(10))
        await asyncio.sleep(0)
        late = await peer.call(PROCESS, framed(b"over in flight"))
        await peer.until(lambda: len(peer.goaways) == 2)
        assert [goaway.last_stream_id for goaway in peer.goaways] == [2**31 - 1, late]
        assert (await peer.answer(late)).messages == [b"in flight"]
        too_late = await peer.call(PROCESS, framed(b"over too late"))
        world.puppets.let("door")
        assert await peer.message(slow) == b"in time"
        peer.end(slow)
        await peer.until_hung_up()
        assert not peer.answers[too_late].messages
        assert b"over too late" not in world.puppets.heard
        peer.hang_up()
        await stopping


async def test_a_log_stream_is_ended_when_the_server_goes(world: World) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(ACCESS_LOGS, framed(b"1", b"2"))
        await peer.call(HEALTH_CHECK, framed(b""), ends=True)
        await peer.until(lambda: peer.answers[stream + 2].over)
        stopping = asyncio.gather(world.transport.stop(10))
        answer = await peer.answer(stream)
        assert (answer.messages, answer.status) == ([b""], "0")
        await peer.send(stream, framed(b"3"), ends=True)
        await peer.until_hung_up()
        assert world.logged == [b"1", b"2", b"3"]
        peer.hang_up()
        await stopping


async def test_peers_that_have_just_hung_up_do_not_stop_a_server_from_stopping() -> None:
    """What is said last to a closed socket resets it, and half of a reset connection cannot be closed."""
    async with serving("wire", f"{HOST}:0", Puppets()) as world:
        stays = world.raw()
        await stays.write(b"wait door never")
        await world.puppets.until_waiting("door")
        [staying] = world.transport._peers  # type: ignore[attr-defined]
        host, _, port = world.address.rpartition(":")
        gone = [socket.create_connection((host, int(port))) for _ in range(10)]
        for peer in gone:
            peer.sendall(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0))
        async with asyncio.timeout(10):
            while world.transport.counters()["connections_open"] < 11:
                await asyncio.sleep(0.01)
        await world.check()
        for peer in gone:
            # Nothing may be left unread: that would tell the server at once.
            peer.recv(10_000)
            peer.close()
        for peer in world.transport._peers - {staying}:  # type: ignore[attr-defined]
            peer.give_up()
        await world.transport.stop(0)
        assert world.puppets.cancelled == ["door"]
        assert world.transport.counters()["connections_open"] == 0
