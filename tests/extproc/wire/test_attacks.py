"""Every attack gets the error that the RFC names for it, is counted, and costs little memory; and the page says so."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extproc.wire import frames
from extproc.wire.connection import Connection
from extproc.wire.events import Event, HalfClosed, Message
from extproc.wire.grpc import Status
from extproc.wire.limits import Memory
from extproc.wire.reader import Frame
from tests.extproc.wire.attacks import ATTACKS, MIB, Attack, Server
from tests.extproc.wire.peer import NOW, goaway_code, parse, reset_codes, statuses

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/wire.md").read_text("utf-8")
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([\d.]+) \|$", re.MULTILINE)


@dataclass
class Siege:
    """A server under attack, without a socket."""

    attack: Attack
    said: list[Frame] = field(default_factory=list)
    heard: int = 0
    written: int = 0
    peak: int = 0

    def run(self) -> Connection:
        attack = self.attack
        memory, now = Memory(), NOW
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        connection = Connection(attack.limits, now, memory)
        for act in attack.acts():
            if isinstance(act, bytes):
                self.heard += len(act)
                self._serve(connection, connection.receive(act, now))
            else:
                now += act
                self._serve(connection, connection.tick(now))
            if connection.is_closed:
                break
        self.peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert memory.used <= attack.limits.buffered
        return connection

    def _serve(self, connection: Connection, events: list[Event]) -> None:
        waits = self.attack.server is Server.WAITS
        for event in events:
            if isinstance(event, Message):
                if waits:
                    connection.postpone(event.stream, event.data)
                else:
                    connection.send(event.stream, event.data)
            elif isinstance(event, HalfClosed) and not waits:
                connection.finish(event.stream, Status.OK)
        events.clear()
        while connection.has_waiting:
            connection.pump()
            self._hear(connection.take())
        self._hear(connection.take())

    def _hear(self, data: bytes) -> None:
        self.written += len(data)
        # What answers are made of is nobody's worry here, and would be counted as memory.
        kept = [one for one in parse(data) if one[0] in {frames.GOAWAY, frames.RST_STREAM} or one[1] & frames.END_STREAM]
        self.said += kept[:20]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gets_its_error_is_counted_and_costs_little(attack: Attack) -> None:
    siege = Siege(attack)
    connection = siege.run()
    violations = dict(connection.violations)
    if attack.counter:
        assert violations[attack.counter] >= 1
    else:
        assert violations == {}
    assert goaway_code(siege.said) == attack.connection
    assert connection.is_closed == (attack.connection is not None)
    resets = set(reset_codes(siege.said).values())
    assert resets == (set() if attack.stream is None else {attack.stream})
    assert set(statuses(siege.said).values()) == (set() if attack.status is None else {attack.status})
    assert siege.written <= siege.heard * 4 + 1_000
    print(
        f"| {attack.name} | {attack.gets} | {f'`{attack.counter}`' if attack.counter else '-'} | {siege.peak / MIB:.2f} |"
    )
    assert siege.peak <= attack.most * MIB
    connection.lose()
    assert connection.open_streams == 0


def test_the_page_lists_every_attack_and_no_other() -> None:
    rows = {name: (gets, counter) for name, gets, counter, _ in ROW.findall(PAGE)}
    assert rows == {attack.name: (attack.gets, f"`{attack.counter}`" if attack.counter else "-") for attack in ATTACKS}


def test_the_memory_on_the_page_is_within_what_is_tested() -> None:
    most = {attack.name: attack.most for attack in ATTACKS}
    assert [name for name, _, _, peak in ROW.findall(PAGE) if float(peak) > most[name]] == []
