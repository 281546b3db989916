"""The wire's frames and header blocks, asked with hyper-h2: padding, pieces, settings, tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import h2.settings
import hpack
import hyperframe.frame
import pytest

from extproc.transport import PROCESS
from tests.h2_peer import connected, fields, framed
from tests.transports import Puppets, World, folder, serving

Code: Final = h2.settings.SettingCodes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with folder() as place:
        async with serving("wire", f"unix:{place}/policy.sock", Puppets()) as running:
            yield running


@pytest.mark.parametrize("pad", [0, 1, 255])
async def test_padding_is_taken_away(world: World, pad: int) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS)
        for number in range(300):
            await peer.send(stream, framed(b"say %d" % number), pad=pad)
            assert await peer.message(stream, number) == b"%d" % number
        await peer.send(stream, framed(bytes(5 << 20)), pad=pad)
        assert await peer.message(stream, 300) == b"%d" % (5 << 20)
        assert world.violations() == []


@pytest.mark.parametrize("size", [1, 3, 4, 5, 6, 7])
async def test_messages_cut_into_frames_of_any_size(world: World, size: int) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS)
        data = framed(b"say one", b"", b"say three", b"over four")
        for start in range(0, len(data), size):
            peer.h2.send_data(stream, data[start : start + size])
        peer.flush()
        answer = await peer.answer(stream)
        assert (answer.messages, answer.status) == ([b"one", b"0", b"three", b"four"], "0")


@pytest.mark.parametrize("pieces", [1, 2, 5, 8])
@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded, with priority"])
async def test_header_blocks_in_pieces(world: World, pieces: int, padded: bool) -> None:
    """HEADERS and CONTINUATION, all in different reads."""
    async with connected(world.address) as peer:
        more = [(f"x-{number}", "y" * 50) for number in range(20)]
        peer.h2.send_headers(1, fields(PROCESS, *more))
        block = peer.h2.data_to_send()[9:]
        cut = -(-len(block) // (pieces + 1))
        parts = [block[start : start + cut] for start in range(0, len(block), cut)]
        head = hyperframe.frame.HeadersFrame(1, parts[0])
        if padded:
            head.flags |= {"PADDED", "PRIORITY"}
            head.pad_length, head.depends_on, head.stream_weight, head.exclusive = 100, 0, 15, False
        peer.say(head.serialize())
        for part in parts[1:]:
            await asyncio.sleep(0.01)
            frame = hyperframe.frame.ContinuationFrame(1, part)
            if part is parts[-1]:
                frame.flags.add("END_HEADERS")
            peer.say(frame.serialize())
        await peer.send(1, framed(b"over there"))
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([b"there"], "0")


async def test_trailers_of_the_peer_end_its_half(world: World) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS, framed(b"verdict yes"))
        peer.h2.send_headers(stream, [("x-after", "1")], end_stream=True)
        peer.flush()
        answer = await peer.answer(stream)
        assert (answer.messages, answer.status) == ([b"yes"], "0")
        await peer.serves()


async def test_the_end_in_an_empty_frame_or_with_the_last_message(world: World) -> None:
    async with connected(world.address) as peer:
        with_last = await peer.call(PROCESS, framed(b"verdict 1"), ends=True)
        alone = await peer.call(PROCESS, framed(b"verdict 2"))
        peer.end(alone)
        at_once = await peer.call(PROCESS, ends=True)
        for stream, messages, status in ((with_last, [b"1"], "0"), (alone, [b"2"], "0"), (at_once, [], "10")):
            answer = await peer.answer(stream)
            assert (answer.messages, answer.status) == (messages, status)


async def test_pings_are_answered_in_order_also_while_a_policy_waits(world: World) -> None:
    async with connected(world.address) as peer:
        await peer.call(PROCESS, framed(b"wait door never"))
        pings = [b"ping%04d" % number for number in range(50)]
        for ping in pings:
            peer.h2.ping(ping)
        peer.flush()
        await peer.until(lambda: len(peer.pings) == 50)
        assert peer.pings == pings


async def test_frames_that_nobody_knows_are_let_pass(world: World) -> None:
    async with connected(world.address) as peer:
        peer.say(b"\x00\x00\x05\xfa\xff\x00\x00\x00\x00hello" + b"\x00\x00\x00\x0b\x00\x00\x00\x00\x07")
        peer.say(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\xff\xee\x00\x00\x00\x01")
        await peer.serves()
        assert world.violations() == []


# Settings and tables


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65_536])
async def test_a_peer_says_how_large_our_table_may_be(world: World, size: int) -> None:
    """RFC 9113, section 4.3.1: smaller than it begins, and the next header block must say so; hyper-h2 insists."""
    async with connected(world.address, {Code.HEADER_TABLE_SIZE: size}) as peer:
        for _ in range(3):
            await peer.serves()
        await peer.change(Code.HEADER_TABLE_SIZE, 4096)
        await peer.change(Code.HEADER_TABLE_SIZE, 0)
        await peer.change(Code.HEADER_TABLE_SIZE, 100)
        assert (await peer.answer(await peer.call("/nobody", ends=True))).status == "12"
        await peer.serves()


async def test_a_table_that_shrinks_and_grows_in_one_frame(world: World) -> None:
    """RFC 7541, section 4.2: the smallest of all the sizes in between counts. What hyper-h2 would not send: as bytes."""
    async with connected(world.address) as peer:
        await peer.until(lambda: peer.settings_acknowledged > 0)
        peer.say(bytes.fromhex("00000c 04 00 00000000 0001 00000000 0001 00001000"))
        stream = await peer.call(PROCESS, framed(b"say here"))
        assert await peer.message(stream) == b"here"
        # The decoder of this peer has taken the update, and holds nothing now.
        assert peer.h2.decoder.header_table_size == 0


async def test_a_peer_uses_the_dynamic_table_before_it_has_seen_our_settings(world: World) -> None:
    """All in the first bytes, as a peer may: entries made, used again, evicted, and the table resized."""
    async with connected(world.address, greet=False) as peer:
        peer.h2.initiate_connection()
        for number in range(60):
            stream = peer.h2.get_next_available_stream_id()
            more = [("x-same", "v" * 40), (f"x-{number % 7}", "w" * (number * 10))]
            if number == 30:
                peer.h2.encoder.header_table_size = 1_000
            peer.h2.send_headers(stream, fields(PROCESS, *more))
            peer.h2.send_data(stream, framed(b"over %d" % number), end_stream=True)
        assert peer.h2.encoder.header_table.dynamic_entries
        peer.flush()
        for number in range(60):
            answer = await peer.answer(2 * number + 1)
            assert (answer.messages, answer.status) == ([b"%d" % number], "0")
        assert world.violations() == []


async def test_a_peer_that_keeps_its_table_behind_our_settings_is_hung_up_on(world: World) -> None:
    async with connected(world.address) as peer:
        await peer.until(lambda: peer.settings_acknowledged > 0)
        await peer.serves()
        encoder = hpack.Encoder()
        for number in (101, 103):
            block = encoder.encode(fields(PROCESS))
            peer.say(hyperframe.frame.HeadersFrame(number, block, flags=["END_HEADERS"]).serialize())
        await peer.until_hung_up()
        [goaway] = peer.goaways
        assert goaway.error_code == 9  # COMPRESSION_ERROR
    assert (await world.check()).status == 1


@pytest.mark.parametrize("size", [16_384, 65_536, 2**24 - 1])
async def test_a_larger_frame_is_a_peers_wish_and_no_duty(world: World, size: int) -> None:
    async with connected(world.address, {Code.MAX_FRAME_SIZE: size, Code.INITIAL_WINDOW_SIZE: 1 << 20}) as peer:
        stream = await peer.call(PROCESS, framed(b"size 300000"))
        assert len(await peer.message(stream)) == 300_000
        await peer.change(Code.MAX_FRAME_SIZE, 16_384)
        await peer.send(stream, framed(b"size 300000"))
        assert len(await peer.message(stream, 1)) == 300_000
