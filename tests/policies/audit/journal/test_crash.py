"""A process is killed while it writes: nothing that it was told is written is lost, and the chain is whole."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policies.audit.journal import JournalWriter
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import fields, records, settings

PROCESS = """
import asyncio, sys, time
from policies.audit.journal import JournalSettings, JournalWriter
from tests.policies.audit.journal.written import fields

async def main() -> None:
    writer = JournalWriter(JournalSettings.model_validate_json(sys.argv[1]), time.time)
    await writer.start()
    print(writer.journal, len(writer.inherited), flush=True)

    async def exchanges(worker: int) -> None:
        number = 0
        while True:
            writer.append(fields(request_id=f"{worker}-{number}"))
            await (writer.durable() if writer._settings.durability == "strict" else writer.written())
            sys.stdout.write(f"{worker}-{number}\\n")
            sys.stdout.flush()
            number += 1

    await asyncio.gather(*(exchanges(worker) for worker in range(10)))

asyncio.run(main())
"""


def started(folder: Path, **more: object) -> subprocess.Popen[str]:
    chosen = settings(folder, segment_bytes=20_000, **more).model_dump_json()
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, chosen],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[4],
    )


def opened(running: subprocess.Popen[str]) -> list[str]:
    assert running.stdout is not None
    return running.stdout.readline().split()


def killed(running: subprocess.Popen[str], after: int) -> tuple[str, int, list[str]]:
    """The journal that it wrote, how much it inherited, and what it was told is written until it was killed."""
    journal, inherited = opened(running)
    assert running.stdout is not None
    with running:
        told = [running.stdout.readline() for _ in range(after)]
        running.send_signal(signal.SIGKILL)
        told += running.stdout.readlines()
    return journal, int(inherited), [line.strip() for line in told if line.endswith("\n")]


@pytest.mark.parametrize("durability", ["batch", "strict"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, durability: str) -> None:
    told: list[str] = []
    seen = 0
    for after in (0, 1, 50, 500, 1_000):
        journal, inherited, more = killed(started(tmp_path, durability=durability), after)
        assert journal == "gate.0"
        assert inherited == seen
        told += more
        report = verify(tmp_path, public_key=None)
        assert report.intact, report
        seen = len(records(tmp_path / "gate.0"))
    made = [one.record.request_id for one in records(tmp_path / "gate.0")]
    for request in set(told):
        assert made.count(request) >= told.count(request)
    assert len(told) > 1_000


def test_processes_do_not_share_a_journal(tmp_path: Path) -> None:
    running = [started(tmp_path) for _ in range(3)]
    try:
        assert {opened(one)[0] for one in running} == {"gate.0", "gate.1", "gate.2"}
    finally:
        for one in running:
            with one:
                one.kill()
    assert verify(tmp_path, public_key=None).intact


async def test_several_in_one_process(tmp_path: Path) -> None:
    writers = [JournalWriter(settings(tmp_path), time.time) for _ in range(3)]
    for number, writer in enumerate(writers):
        await writer.start()
        assert writer.journal == f"gate.{number}"
    for number in range(100):
        for writer in writers:
            writer.append(fields(request_id=str(number)))
    await asyncio.gather(*(writer.stop(10) for writer in writers))
    report = verify(tmp_path, public_key=None)
    assert report.intact
    assert [one.records for one in report.journals] == [102, 102, 102]
