"""The wire, asked frame by frame with hyper-h2: windows, settings, padding, CONTINUATION, tables, resets, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import h2.settings
import hpack
import hyperframe.frame
import pytest

from extproc.transport import ACCESS_LOGS, HEALTH_CHECK, PROCESS
from tests.h2_peer import Peer, connected, fields, framed
from tests.transports import Puppets, World, folder, serving

Code: Final = h2.settings.SettingCodes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with folder() as place:
        async with serving("wire", f"unix:{place}/policy.sock", Puppets()) as running:
            yield running


async def still_there(peer: Peer) -> None:
    """The connection serves."""
    assert await peer.message(await peer.call(PROCESS, framed(b"say here"))) == b"here"


def no_violations(world: World) -> None:
    assert not [name for name in world.transport.counters() if name.startswith("violation")]


# Windows


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
        no_violations(world)


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
        await change(peer, Code.INITIAL_WINDOW_SIZE, 0)
        # 10,000 bytes below zero now: this only brings it back to zero.
        peer.h2.increment_flow_control_window(10_000, large)
        small = await peer.call(PROCESS, framed(b"over small"))
        await change(peer, Code.MAX_FRAME_SIZE, 20_000)
        assert (len(peer.answers[large].data), len(peer.answers[small].data)) == (10_000, 0)
        await change(peer, Code.INITIAL_WINDOW_SIZE, 3)
        await peer.until(lambda: (len(peer.answers[large].data), len(peer.answers[small].data)) == (10_003, 3))
        peer.h2.increment_flow_control_window(65_535)
        await change(peer, Code.INITIAL_WINDOW_SIZE, 60_000)
        await peer.until(lambda: len(peer.answers[large].data) == 25_005)
        answer = await peer.answer(small)
        assert (answer.messages, answer.status) == ([b"small"], "0")
        no_violations(world)


async def test_our_windows_open_as_messages_are_taken(world: World) -> None:
    """A message of 60 MiB, and twenty of 8 MiB on a stream: far beyond any window."""
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS)
        await peer.send(stream, framed(bytes(60 << 20)))
        assert await peer.message(stream) == b"%d" % (60 << 20)
        for number in range(1, 21):
            await peer.send(stream, framed(bytes(8 << 20)))
            assert await peer.message(stream, number) == b"%d" % (8 << 20)
        await still_there(peer)


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


# Frames


@pytest.mark.parametrize("pad", [0, 1, 255])
async def test_padding_is_taken_away(world: World, pad: int) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS)
        for number in range(300):
            await peer.send(stream, framed(b"say %d" % number), pad=pad)
            assert await peer.message(stream, number) == b"%d" % number
        await peer.send(stream, framed(bytes(5 << 20)), pad=pad)
        assert await peer.message(stream, 300) == b"%d" % (5 << 20)
        no_violations(world)


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
        await still_there(peer)


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
        await still_there(peer)
        no_violations(world)


# Settings and tables


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65_536])
async def test_a_peer_says_how_large_our_table_may_be(world: World, size: int) -> None:
    """RFC 9113, section 4.3.1: smaller than it begins, and the next header block must say so; hyper-h2 insists."""
    async with connected(world.address, {Code.HEADER_TABLE_SIZE: size}) as peer:
        for _ in range(3):
            await still_there(peer)
        await change(peer, Code.HEADER_TABLE_SIZE, 4096)
        await change(peer, Code.HEADER_TABLE_SIZE, 0)
        await change(peer, Code.HEADER_TABLE_SIZE, 100)
        assert (await peer.answer(await peer.call("/nobody", ends=True))).status == "12"
        await still_there(peer)


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
        no_violations(world)


async def test_a_peer_that_keeps_its_table_behind_our_settings_is_hung_up_on(world: World) -> None:
    async with connected(world.address) as peer:
        await peer.until(lambda: peer.settings_acknowledged > 0)
        await still_there(peer)
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
        await change(peer, Code.MAX_FRAME_SIZE, 16_384)
        await peer.send(stream, framed(b"size 300000"))
        assert len(await peer.message(stream, 1)) == 300_000


# Ends


async def test_a_reset_stream_is_forgotten_and_its_number_is_not_reused(world: World) -> None:
    async with connected(world.address) as peer:
        for _ in range(200):
            peer.reset(await peer.call(PROCESS, framed(b"wait door never")))
        await still_there(peer)
        counters = world.transport.counters()
        assert (counters["streams"], counters["streams_open"]) == (201, 1)
        no_violations(world)


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
        await still_there(peer)
        no_violations(world)


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


def received(peer: Peer, streams: list[int]) -> int:
    return sum(len(peer.answers[stream].data) for stream in streams)


async def change(peer: Peer, code: Any, value: int) -> None:
    """Change a setting, and wait until the server has taken it."""
    before = peer.settings_acknowledged
    peer.h2.update_settings({code: value})
    peer.flush()
    await peer.until(lambda: peer.settings_acknowledged > before)
