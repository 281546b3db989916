"""The wire's windows, both ways, asked with hyper-h2, which raises where one is exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import h2.settings
import pytest

from extproc.transport import PROCESS
from tests.h2_peer import Peer, connected, framed
from tests.transports import Puppets, World, folder, serving

Code: Final = h2.settings.SettingCodes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with folder() as place:
        async with serving("wire", f"unix:{place}/policy.sock", Puppets()) as running:
            yield running


@pytest.mark.parametrize("window", [1, 2, 5, 100, 16_383, 65_535, 1 << 20])
async def test_an_answer_keeps_within_small_windows(world: World, window: int) -> None:
    size = min(window * 50, 200_000)
    async with connected(world.address, {Code.INITIAL_WINDOW_SIZE: window}) as peer:
        stream = await peer.call(PROCESS, framed(b"over " + b"x" * 500, b"unheard"))
        assert await peer.message(stream) == b"x" * 500
        assert (await peer.answer(stream)).status == "0"
        # hyper-h2 raises where a window is exceeded.
        large = await peer.call(PROCESS, framed(b"size %d" % size))
        assert len(await peer.message(large)) == size
        assert world.violations() == []


async def test_a_stream_without_a_window_holds_up_no_other(world: World) -> None:
    async with connected(world.address) as peer:
        peer.windows_open = False
        # Half of the connection's window, so that the other stream has the rest.
        peer.h2.update_settings({Code.INITIAL_WINDOW_SIZE: 30_000})
        peer.flush()
        await peer.until(lambda: peer.settings_acknowledged > 1)
        large = await peer.call(PROCESS, framed(b"size 100000"))
        await peer.until(lambda: len(peer.answers[large].data) == 30_000)
        small = await peer.call(PROCESS, framed(b"over there"))
        assert (await peer.answer(small)).messages == [b"there"]
        peer.windows_open = True
        peer.h2.increment_flow_control_window(200_000)
        peer.h2.increment_flow_control_window(200_000, large)
        peer.flush()
        assert len(await peer.message(large)) == 100_000


async def test_nothing_is_sent_beyond_the_connections_window(world: World) -> None:
    async with connected(world.address, {Code.INITIAL_WINDOW_SIZE: 1 << 20}) as peer:
        peer.windows_open = False
        streams = [await peer.call(PROCESS, framed(b"size 50000")) for _ in range(4)]
        await peer.until(lambda: received(peer, streams) == 65_535)
        # Trailers and health need no window, and are not held up.
        peer.h2.ping(b"12345678")
        peer.flush()
        await peer.until(lambda: peer.pings == [b"12345678"])
        assert received(peer, streams) == 65_535
        assert min(len(peer.answers[stream].data) for stream in streams) > 0
        peer.h2.increment_flow_control_window(1 << 20)
        peer.flush()
        await peer.until(lambda: received(peer, streams) == 4 * 50_005)


async def test_the_initial_window_shrinks_to_nothing_and_grows_again(world: World) -> None:
    """RFC 9113, section 6.9.2: windows of open streams change with it, also below zero."""
    async with connected(world.address, {Code.INITIAL_WINDOW_SIZE: 10_000}) as peer:
        peer.windows_open = False
        large = await peer.call(PROCESS, framed(b"size 25000"))
        await peer.until(lambda: len(peer.answers[large].data) == 10_000)
        await peer.change(Code.INITIAL_WINDOW_SIZE, 0)
        # 10,000 bytes below zero now: this only brings it back to zero.
        peer.h2.increment_flow_control_window(10_000, large)
        small = await peer.call(PROCESS, framed(b"over small"))
        await peer.change(Code.MAX_FRAME_SIZE, 20_000)
        assert (len(peer.answers[large].data), len(peer.answers[small].data)) == (10_000, 0)
        await peer.change(Code.INITIAL_WINDOW_SIZE, 3)
        await peer.until(lambda: (len(peer.answers[large].data), len(peer.answers[small].data)) == (10_003, 3))
        peer.h2.increment_flow_control_window(65_535)
        await peer.change(Code.INITIAL_WINDOW_SIZE, 60_000)
        await peer.until(lambda: len(peer.answers[large].data) == 25_005)
        answer = await peer.answer(small)
        assert (answer.messages, answer.status) == ([b"small"], "0")
        assert world.violations() == []


async def test_our_windows_open_as_messages_are_taken(world: World) -> None:
    """A message of 60 MiB, and twenty of 8 MiB on a stream: far beyond any window."""
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS)
        await peer.send(stream, framed(bytes(60 << 20)))
        assert await peer.message(stream) == b"%d" % (60 << 20)
        for number in range(1, 21):
            await peer.send(stream, framed(bytes(8 << 20)))
            assert await peer.message(stream, number) == b"%d" % (8 << 20)
        await peer.serves()


async def test_what_is_pipelined_is_held_back_by_the_window_and_answered_in_the_end(world: World) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS, framed(b"wait door opened"))
        await world.puppets.until_waiting("door")
        messages = [b"say %d %b" % (number, b"x" * 500_000) for number in range(20)]

        async def pour() -> None:
            for message in messages:
                await peer.send(stream, framed(message))

        pouring = asyncio.gather(pour())
        async with asyncio.timeout(10):
            while peer.h2.local_flow_control_window(stream) > 0:
                await asyncio.sleep(0.01)
        assert not pouring.done()
        world.puppets.let("door")
        await pouring
        await peer.until(lambda: len(peer.answers[stream].messages) == 21)
        assert [message[:2].strip() for message in peer.answers[stream].messages[1:]] == [
            b"%d" % number for number in range(20)
        ]


def received(peer: Peer, streams: list[int]) -> int:
    return sum(len(peer.answers[stream].data) for stream in streams)
