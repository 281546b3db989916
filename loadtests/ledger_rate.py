"""How fast the ledger follows a journal into PostgreSQL: `python -m loadtests.ledger_rate`. In a checkout.

A journal of so many exchanges is written, a decision and a closing each. Then the companion of a real gateway's
configuration (`sluicegate audit follow`) brings it to the ledger in a real PostgreSQL, where its rows are counted as they
come. Prints rows (exchanges) and records a second from the first batch to the last, and the CPU of the companion for
each row. Exit status 1 if a row is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg

from extproc.embedded.demo_tokens import TENANTS
from loadtests.bench.proc import cpu_of
from policies.audit.journal import JournalSettings, JournalWriter
from policies.audit.moments import moment
from tests.limited import tree
from tests.policies.audit.ledger.postgres import running_postgres

_PATIENCE: Final = 300.0
_LOOK: Final = 0.1
_AT_ONCE: Final = 500
"""Exchanges that are appended before their records are waited for: less than the queue of a journal holds."""
_USERS: Final = 200
_MODELS: Final = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5")


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured: `counted` rows came in `seconds`, after the first batch; `cpu`: seconds of the companion in
    that time."""

    exchanges: int
    rows: int
    seconds: float
    counted: int
    cpu: float

    def told(self) -> Mapping[str, Any]:
        """The same for people."""
        rate = self.counted / self.seconds if self.seconds > 0 else 0.0
        cpu = self.cpu / self.counted if self.counted else 0.0
        return {
            "exchanges": self.exchanges,
            "rows in the ledger": self.rows,
            "rows a second": round(rate),
            "records a second": round(2 * rate),
            "microseconds of the companion's CPU for a row": round(cpu * 1e6),
        }


def exchange(number: int, now: float) -> Iterator[dict[str, Any]]:
    """The two records of an exchange, as the policy gives them to the journal."""
    ids = {"exchange_id": uuid4().hex, "request_id": str(uuid4()), "trace_id": uuid4().hex}
    both = {
        **ids,
        "tenant": "contoso",
        "tenant_id": TENANTS["contoso"],
        "department": f"department {number % 7}",
        "user_id": f"user-{number % _USERS}",
        "app_id": "bench",
        "caller": "user",
        "session_id": f"session-{number % 1_000}",
        "level": "info",
        "operation": "chat",
        "dialect": "openai",
        "model": _MODELS[number % len(_MODELS)],
        "upstream": "openai",
        "decision": "allow",
        "reservation_id": ids["exchange_id"],
        "accounts": [TENANTS["contoso"]],
    }
    yield both | {
        "event": "request.allowed",
        "kind": "decision",
        "timestamp": moment(now),
        "configuration": "0123456789abcdef",
        "reserved": {"dollars": 12_400, "input": 180, "output": 1_200, "tokens": 1_380},
    }
    yield both | {
        "event": "request.closed",
        "kind": "closing",
        "timestamp": moment(now + 1.2),
        "started": moment(now),
        "ending": "completed",
        "result": "success",
        "http.response.status_code": 200,
        "requests": 1,
        "basis": "metered",
        "cost": f"0.{number % 1_000_000:06d}",
        "price": "configured",
        "latency_us": 1_200_000,
        "latency_ms": 1_200,
        "first_byte_us": 240_000,
        "bytes_in": 900,
        "bytes_out": 4_100,
        "response_model": "gpt-4o-2024-11-20",
        "tokens": {"input": 120, "cached_input": 50, "output": 310, "total": 480, "weighted": 480},
    }


async def write_journal(settings: JournalSettings, exchanges: int) -> None:
    """A journal of so many exchanges, by its real writer."""
    writer = JournalWriter(settings, time.time)
    await writer.start()
    for number in range(exchanges):
        for record in exchange(number, time.time()):
            writer.append(record)
        if number % _AT_ONCE == 0:
            await writer.written()
    await writer.stop(_PATIENCE)


@contextmanager
def _following(configuration: Path, log: Path) -> Iterator[int]:
    """The companion; its process id."""
    with log.open("wb") as told:
        process = subprocess.Popen(
            (sys.executable, "-m", "extproc.cli", "audit", "follow", str(configuration)), stdout=told, stderr=told
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _count(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    found = connection.execute("SELECT to_regclass('usage')").fetchone()
    if found is None or found[0] is None:
        return 0
    # A closing makes a row whole; the decision alone begins it.
    counted = connection.execute("SELECT count(*) FROM usage WHERE closed").fetchone()
    return int(str(counted[0])) if counted else 0


def measure(folder: Path, exchanges: int) -> Found:
    """Write it, follow it, count."""
    journal = folder / "journal"
    settings = {"folder": str(journal), "instance": "gateway"}
    asyncio.run(write_journal(JournalSettings.model_validate(settings), exchanges))
    with running_postgres() as postgres:
        ledger = {"kind": "ledger", "url": postgres.create("ledger")}
        audit = {"policy": "audit", "settings": {"journal": settings, "sinks": [ledger]}}
        # Nothing of it runs but the companion, which reads of it where the journal is and where it goes.
        limits = [{"subject": "user", "requests_per_day": 1}]
        configuration = folder / "sluicegate.yaml"
        configuration.write_text(
            json.dumps(tree(folder, "http://127.0.0.1:9", 9, 8080, "redis://127.0.0.1:9", limits, after=[audit]))
        )
        with postgres.connect("ledger") as connection, _following(configuration, folder / "follow.log") as pid:
            deadline = time.monotonic() + _PATIENCE
            first, rows, spent = 0, 0, 0.0
            began = ended = time.monotonic()
            while rows < exchanges and time.monotonic() < deadline:
                rows, ended = _count(connection), time.monotonic()
                if not first and rows:
                    first, began, spent = rows, ended, cpu_of(pid)
                time.sleep(_LOOK)
            return Found(exchanges, rows, ended - began, rows - first, cpu_of(pid) - spent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.ledger_rate", description=__doc__)
    parser.add_argument("--exchanges", type=int, default=60_000)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sluicegate-ledger-") as folder:
        found = measure(Path(folder), chosen.exchanges)
    print(json.dumps(found.told(), indent=2))
    return 0 if found.rows == found.exchanges else 1


if __name__ == "__main__":
    sys.exit(main())
