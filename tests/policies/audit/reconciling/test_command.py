"""`sluicegate ledger reconcile` as it is typed: real journals, a ledger in SQLite, counters told or in Valkey."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.catalogue import Catalogue, Provider, Upstream
from extproc.cli.hosting import Host
from extproc.completion import Usage
from extproc.policy import Surroundings
from extproc.recorder import Recorder
from extproc.tally import Tally
from policies.audit.following.status import SinkStatus, Status, write_status
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.policy import AuditPolicy
from policies.audit.reconciling.result import read_result
from policies.audit.settings import AuditSettings
from policies.limits import LimitsPolicy
from policies.limits.settings import LimitsSettings
from policies.limits.windows import Counter
from tests.limited import tree
from tests.policies.audit.reconciling.books import NOW, Told, Typed, bring, exchange, recorded, write
from tests.policies.limits.test_policy import PRICED, asked, ended, outcome
from tests.redis_servers import RedisServer

RECORDS = [*exchange(1, 90, 100), *exchange(2, 60, 20), *exchange(3, 1, 3)]
PRICES = Catalogue(upstreams=(Upstream("main", Provider.OPENAI, models=(PRICED,)),))
ALICE = {"tenant_id": "t-1", "user_id": "alice"}


@dataclass
class Gateway:
    """What a gateway has left: its configuration, its journals, its ledger."""

    folder: Path
    typed: Typed

    @property
    def config(self) -> Path:
        return self.folder / "gateway.yaml"

    @property
    def journals(self) -> Path:
        return self.folder / "journal"

    @property
    def ledger(self) -> LedgerSettings:
        return LedgerSettings(kind="ledger", url=f"sqlite:///{self.folder}/ledger.db")

    def configure(self, *sinks: dict[str, Any]) -> None:
        audit = {"policy": "audit", "settings": {"journal": {"folder": str(self.journals)}, "sinks": list(sinks)}}
        self.config.write_text(yaml.safe_dump({"policies": [audit]}))

    def __call__(self, *found: Tally, status: int = 0, words: tuple[str, ...] = ("--from", "4h")) -> str:
        return self.typed(Told(found), str(self.config), *words, status=status)

    def json(self, *found: Tally, status: int = 0, words: tuple[str, ...] = ("--from", "4h")) -> Any:
        return json.loads(self(*found, status=status, words=(*words, "--json")))

    def differences(self, *found: Tally, status: int = 1) -> list[tuple[Any, ...]]:
        told = self.json(*found, status=status)["differences"]
        return [tuple(one[name] for name in ("what", "measure", "journal", "other", "explained")) for one in told]

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.folder / "ledger.db")) as ledger, ledger:
            assert ledger.execute(statement).rowcount == 1


@pytest.fixture
def gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Gateway:
    made = Gateway(tmp_path, Typed(capsys))
    made.configure({"kind": "ledger", "url": made.ledger.url})
    write(made.journals, RECORDS)
    bring(made.ledger, recorded(made.journals))
    return made


def tally(measure: str, used: int, minutes: float = 170, **changes: Any) -> Tally:
    """Alice's counter of a window that began so many minutes ago, and has not ended."""
    start, end = NOW - timedelta(minutes=minutes), NOW + timedelta(hours=5)
    return Tally(ALICE, measure, start, end, used, changes.pop("reserved", 0), f"t-1/user=alice {measure}", **changes)


AGREED = tally("tokens", 123), tally("dollars", 1_230), tally("requests", 4, reserved=1)


def test_they_agree(gateway: Gateway) -> None:
    first, second = gateway(*AGREED).splitlines()
    told = "3 exchanges on record (0 closed without word of their end), 0 open, 3 counters; the ledger is 'ledger'"
    assert first.endswith(told)
    assert second == "journal, ledger and counters agree"


def test_the_host_is_asked_of_this_configuration(gateway: Gateway) -> None:
    host = Told()
    gateway.typed(host, str(gateway.config))
    assert host.asked == [gateway.config]


def test_for_programs(gateway: Gateway) -> None:
    found = gateway.json(*AGREED)
    assert {name: found[name] for name in ("exchanges", "open", "recovered", "counters", "differences")} == {
        "exchanges": 3,
        "open": 0,
        "recovered": 0,
        "counters": 3,
        "differences": [],
    }


def test_a_row_that_was_changed(gateway: Gateway) -> None:
    gateway.change("UPDATE usage SET cost_micro = 1 WHERE exchange_id = 'x-2'")
    assert gateway.differences(*AGREED) == [("x-2", "dollars", 200, 1, "")]
    lines = gateway(*AGREED, status=1).splitlines()
    assert lines[1].split() == ["with", "what", "measure", "journal", "other", "difference", "why"]
    assert lines[2].split() == ["ledger", "x-2", "dollars", "$0.0002", "$0.000001", "-$0.000199", "-"]
    assert lines[3] == "1 differences, and 0 that are explained"


def test_a_row_that_is_missing(gateway: Gateway) -> None:
    gateway.change("DELETE FROM usage WHERE exchange_id = 'x-1'")
    assert gateway.differences(*AGREED) == [("x-1", "tokens", 100, None, "")]


def test_a_row_that_nobody_recorded(gateway: Gateway) -> None:
    gateway.change("UPDATE usage SET exchange_id = 'x-9' WHERE exchange_id = 'x-3'")
    assert gateway.differences(*AGREED) == [("x-9", "tokens", None, 3, ""), ("x-3", "tokens", 3, None, "")]


def test_a_counter_that_is_off(gateway: Gateway) -> None:
    assert gateway.differences(tally("tokens", 124), *AGREED[1:]) == [("t-1/user=alice tokens", "tokens", 123, 124, "")]
    line = gateway(tally("tokens", 124), status=1).splitlines()[2]
    assert line.split("  ")[0] == "counter"
    assert "t-1/user=alice tokens" in line
    assert "+1" in line


def test_windows_that_are_over_are_not_compared(gateway: Gateway) -> None:
    over = Tally(ALICE, "tokens", NOW - timedelta(hours=2), NOW - timedelta(minutes=1), 5, 0, "over")
    assert gateway.json(over)["counters"] == 0


def test_a_journal_that_began_within_the_window(gateway: Gateway) -> None:
    early = tally("tokens", 500, minutes=200)
    ((what, *_, why),) = gateway.differences(early, status=0)
    assert what == early.name
    assert why.startswith("the record begins at ")
    lines = gateway(early).splitlines()
    assert lines[-1] == "0 differences, and 1 that are explained"


def test_in_the_month_in_which_it_was_installed_what_a_counter_holds_more_is_a_fault(gateway: Gateway) -> None:
    early = tally("tokens", 500, minutes=200, since=NOW - timedelta(minutes=179))
    assert gateway.differences(early) == [(early.name, "tokens", 123, 500, "")]


def test_counters_are_compared_over_their_whole_window_whatever_is_asked(gateway: Gateway) -> None:
    """What is on record and was not asked for explains nothing."""
    found = gateway.json(*AGREED, words=("--from", "5m"))
    assert (found["exchanges"], found["differences"]) == (1, [])
    found = gateway.json(tally("tokens", 124), status=1, words=("--from", "5m"))
    assert [(one["journal"], one["other"], one["explained"]) for one in found["differences"]] == [(123, 124, "")]


def test_one_of_several_ledgers(gateway: Gateway) -> None:
    """The first, or the one that is named. Which one is said."""
    other = LedgerSettings(kind="ledger", name="books", url=f"sqlite:///{gateway.folder}/books.db")
    bring(other, recorded(gateway.journals))
    file = {"kind": "file", "name": "copy", "path": "copy.jsonl"}
    ledgers = [{"kind": "ledger", "name": one.name, "url": one.url} for one in (gateway.ledger, other)]
    gateway.configure(file, *ledgers)
    gateway.change("UPDATE usage SET weighted = 7 WHERE exchange_id = 'x-1'")
    assert gateway.json(status=1)["ledger"] == "ledger"
    for option in ("--ledger", "--sink"):
        found = gateway.json(words=("--from", "4h", option, "books"))
        assert (found["ledger"], found["differences"]) == ("books", [])
    first, _ = gateway(words=("--from", "4h", "--ledger", "books")).splitlines()
    assert first.endswith("; the ledger is 'books'")
    (told,) = gateway(status=2, words=("--ledger", "copy")).splitlines()
    assert told.endswith("--ledger copy: expected one of ledger, books")


def test_what_the_ledger_has_from_before_the_journal(gateway: Gateway) -> None:
    """The journal is kept for a shorter time than the ledger."""
    gateway.change("UPDATE usage SET at = '2020-01-01 00:00:00.000000', exchange_id = 'old' WHERE exchange_id = 'x-3'")
    assert gateway.json(status=1, words=("--from", "2019-01-01"))["differences"][0]["what"] == "x-3"
    assert len(gateway.differences()) == 1


def test_records_of_a_clock_that_was_ahead(gateway: Gateway) -> None:
    """They are dated later than now, here and in the ledger."""
    write(gateway.journals, exchange(4, -300, 7))
    bring(gateway.ledger, recorded(gateway.journals))
    found = gateway.json(words=("--from", "4h"))
    assert (found["exchanges"], found["differences"]) == (4, [])
    gateway.change("DELETE FROM usage WHERE exchange_id = 'x-4'")
    assert gateway.differences() == [("x-4", "tokens", 7, None, "")]


def test_only_from_a_time_on(gateway: Gateway) -> None:
    gateway.change("UPDATE usage SET weighted = 7 WHERE exchange_id = 'x-1'")
    found = gateway.json(words=("--from", "75m"))
    assert (found["exchanges"], found["differences"]) == (2, [])


@pytest.mark.parametrize(
    ("sink", "age", "faults"),
    [("ledger", 0, []), ("hook", 0, ["x-3"]), ("ledger", 60, ["x-3"])],
)
def test_a_ledger_that_is_behind(gateway: Gateway, sink: str, age: float, faults: list[str]) -> None:
    """Only its own lag explains anything, and only while somebody brings it records."""
    gateway.change("DELETE FROM usage WHERE exchange_id = 'x-3'")
    late = {sink: SinkStatus(behind_records=4, behind_seconds=600)}
    write_status(gateway.journals, Status(pid=1, sinks=late, time=time.time() - age))
    found = gateway.differences(status=1 if faults else 0)
    assert [what for what, *_, why in found if not why] == faults
    # What was written before that it must have.
    gateway.change("DELETE FROM usage WHERE exchange_id = 'x-2'")
    assert [what for what, *_, why in gateway.differences() if not why] == ["x-2", *faults]


@pytest.mark.parametrize(("lasts", "status"), [(True, 1), (False, 0)])
def test_what_is_told_at_metrics_has_been_looked_at_twice(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, lasts: bool, status: int
) -> None:
    tell = ("--from", "4h", "--tell")
    gateway(*AGREED, words=tell)
    agreed = read_result(gateway.journals)
    assert agreed is not None
    assert (agreed.differences, agreed.broken) == (0, 0)
    assert abs(agreed.time - time.time()) < 60
    gateway.change("UPDATE usage SET cost_micro = 1 WHERE exchange_id = 'x-2'")
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if not lasts:
            gateway.change("UPDATE usage SET cost_micro = 200 WHERE exchange_id = 'x-2'")
        # It has come meanwhile, and may be under way.
        gateway.change("UPDATE usage SET weighted = 7 WHERE exchange_id = 'x-3'")

    monkeypatch.setattr("policies.audit.reconciling.command.time.sleep", wait)
    found = gateway.json(*AGREED, status=status, words=tell)
    assert [one["what"] for one in found["differences"]] == (["x-2"] if lasts else [])
    assert waited == [10.0]
    told = read_result(gateway.journals)
    assert told is not None
    assert told.differences == int(lasts)
    # Asked without it, nothing is told.
    assert len(gateway.differences(*AGREED)) == 1 + int(lasts)
    assert read_result(gateway.journals) == told


def test_many_differences_are_cut_off_for_people(gateway: Gateway) -> None:
    write(gateway.folder / "journal", [one for number in range(10, 70) for one in exchange(number, 30, 1)])
    lines = gateway(status=1).splitlines()
    assert len([line for line in lines if line.startswith("ledger")]) == 50
    assert lines[-2] == "and 10 more: --json has all of them"
    assert len(gateway.differences()) == 60


def test_a_journal_that_is_broken_is_told(gateway: Gateway) -> None:
    (segment,) = (gateway.journals / "gate.0").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:3], b"{nonsense}\n", *lines[4:]]))
    gateway.typed.capsys.readouterr()
    found = gateway.differences()
    assert [what for what, *_ in found] == ["x-2", "x-3"]


def test_what_cannot_be_read_does_not_agree(gateway: Gateway) -> None:
    """Whoever brings the records to the ledger stops at the same place."""
    (segment,) = (gateway.journals / "gate.0").glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b"{nonsense}\n")
    found = gateway.json(*AGREED, status=1, words=("--from", "4h", "--tell"))
    assert found["differences"] == []
    assert [one.partition(":")[0] for one in found["broken"]] == ["gate.0"]
    told = read_result(gateway.journals)
    assert told is not None
    assert (told.differences, told.broken) == (0, 1)


@pytest.mark.parametrize("seconds", [1e300, -1e300])
def test_a_status_of_which_no_sense_can_be_made(gateway: Gateway, seconds: float) -> None:
    sinks = {"ledger": SinkStatus(behind_seconds=seconds)}
    write_status(gateway.journals, Status(pid=1, sinks=sinks, time=time.time()))
    assert gateway.json(*AGREED)["differences"] == []


@pytest.mark.parametrize(
    ("sinks", "words", "line"),
    [
        ((), (), "gateway.yaml: policies[0].settings.sinks: there is no sink of `kind: ledger`"),
        (({"kind": "ledger", "url": "sqlite:///x.db"},), ("--from", "riddle"), "--from riddle: expected a time"),
        (({"kind": "ledger"},), (), "gateway.yaml: policies[0].settings.sinks[0].ledger.url: Field required"),
    ],
)
def test_what_is_configured_or_typed_wrongly(
    gateway: Gateway, sinks: tuple[dict[str, Any], ...], words: tuple[str, ...], line: str
) -> None:
    gateway.configure(*sinks)
    (told,) = gateway(status=2, words=words).splitlines()
    assert line in told


def test_a_ledger_that_is_not_there(gateway: Gateway) -> None:
    (gateway.folder / "ledger.db").unlink()
    assert gateway(status=1) == ""
    assert not (gateway.folder / "ledger.db").exists()


# With counters in Valkey, by the policies themselves.


async def serve(settings: LimitsSettings, audit: AuditSettings, count: int, *, killed: bool = False) -> None:
    """Exchanges of alice's, from their reservation to their settlement; the last one goes on. `killed`: nobody writes
    down what was decided of that one, nor hears of its end; its lease ends."""
    begun = (datetime.now(UTC).replace(day=1, hour=0, minute=0) - timedelta(hours=1)).timestamp()
    shift = begun - time.time()
    recorder = Recorder()
    limits = LimitsPolicy.build(settings, Surroundings(PRICES, time.time, recorder=recorder))
    keeper = AuditPolicy.build(audit, Surroundings(PRICES, lambda: time.time() + shift, recorder=recorder))
    await keeper.start()
    shift = 0.0
    await limits.start()
    try:
        async with asyncio.timeout(20):
            while limits.readiness() is not None:
                await asyncio.sleep(0.01)
        for number in range(count + 1):
            exchange = asked(max_output=50)
            await outcome(limits, exchange)
            if number < count or not killed:
                verdict = keeper.on_verdict(exchange, None, ())
                assert verdict is None
            if number < count:
                completion = ended(exchange, Usage(input=30 + number, output=7, total=37 + number))
                limits.on_settle(completion)
                keeper.on_settle(completion)
        async with asyncio.timeout(20):
            # Once under the limits of the tenant, and once under those of all.
            while killed and limits.counters()["leases_expired"] < 2:
                await asyncio.sleep(0.01)
    finally:
        await limits.stop()
        await keeper.stop()


def served(folder: Path, valkey: RedisServer, *, killed: bool = False) -> Path:
    """The configuration of a gateway that has served five exchanges, and one that goes on or was lost."""
    kinds = {"requests_per_month": 100, "tokens_per_month": 90_000, "dollars_per_month": 5}
    limits: list[dict[str, Any]] = [
        {"subject": level, **kinds} for level in ("user", "tenant", ["user", "model"], "everyone")
    ]
    sink = {"kind": "ledger", "url": f"sqlite:///{folder}/ledger.db"}
    audit = {"journal": {"folder": str(folder / "journal"), "instance": "gate"}, "sinks": [sink]}
    weights = {"output": 3.5, "input": 0.5}
    after = [{"policy": "audit", "settings": audit}]
    config = folder / "gateway.yaml"
    more: dict[str, Any] = {"after": after, "limits_settings": {"weights": weights}}
    config.write_text(yaml.safe_dump(tree(folder, "http://127.0.0.1:9", 9, 9, valkey.address, limits, **more)))
    redis = {"url": valkey.address, "timeout": 5.0}
    lease = {"lease": 1} if killed else {}
    counted = LimitsSettings.model_validate({"redis": redis, "limits": limits, "weights": weights} | lease)
    asyncio.run(serve(counted, AuditSettings.model_validate(audit), 5, killed=killed))
    bring(LedgerSettings.model_validate(sink), recorded(folder / "journal"))
    return config


def test_one_of_which_only_the_end_of_its_lease_tells(
    tmp_path: Path, valkey: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker was killed between a reservation and its record, and Envoy's access log was lost as well."""
    words = str(served(tmp_path, valkey, killed=True)), "--from", "40d", "--json"
    found = json.loads(Typed(capsys)(Host(), *words))
    assert (found["exchanges"], found["open"], len(found["differences"])) == (5, 0, 12)
    assert {one["explained"] for one in found["differences"]} == {
        "nobody settled a reservation, charged as made (`limit.lease_expired`)"
    }


def test_with_the_counters_of_a_gateway(tmp_path: Path, valkey: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    config = served(tmp_path, valkey)
    typed = Typed(capsys)
    words = str(config), "--from", "40d"
    first, second = typed(Host(), *words).splitlines()
    told = "5 exchanges on record (0 closed without word of their end), 1 open, 12 counters; the ledger is 'ledger'"
    assert first.endswith(told)
    assert second == "journal, ledger and counters agree"
    with closing(valkey.client()) as client:
        (key,) = client.scan_iter("sg:*:s:user=alice")
        written = client.hget(key, "tpmo")
        assert isinstance(written, bytes)
        counter = Counter.read(written)
        assert counter is not None
        counter.current += 1
        client.hset(key, "tpmo", counter.write())
    (found,) = json.loads(typed(Host(), *words, "--json", status=1))["differences"]
    assert (found["what"], found["measure"], found["other"] - found["journal"], found["explained"]) == (
        *("t1/user=alice tokens_per_month", "tokens", 1, ""),
    )
    # Whoever keeps the counters is not there.
    valkey.stop()
    assert typed(Host(), *words, status=1) == ""
