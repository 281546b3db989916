"""Whether one number stands everywhere: `python -m loadtests.one_number --requests 20000`. In a checkout.

The load of `loadtests.audit_chaos` without its faults: chats, messages, responses, completions and embeddings, plain and
streamed, with caches and searches, left in the middle, cut off, failed, over budget, clamped, without usage. Then tokens
and micro-dollars of each tenant and model are added up as the journal, the ledger, the counters in Redis, the metrics for
Prometheus and what a receiver in Langfuse's place was sent have them. Prints how many there were of each kind, asked and
on record, and the sums; exit status 1 where two of these differ, or where there was none of a kind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import httpx
from prometheus_client.parser import text_string_to_metric_families

from extproc.cli.hosting import Host
from extproc.serving import loop_factory
from extproc.tally import Tally
from loadtests.chaos.books import settle_down
from loadtests.chaos.requests import KINDS, Requests
from loadtests.chaos.sightings import sightings
from loadtests.chaos.traffic import Traffic
from policies.audit.following.status import read_status
from policies.audit.journal import JournalReader, Position, journals
from policies.audit.moments import micro_dollars
from policies.audit.record import Kind, Record
from tests.audited import Audited, audited
from tests.policies.audit.sinks.trace_receiver import LangfuseReceiver, told

_SLACK: Final = 60.0
_DOLLAR: Final = 1_000_000
_AT_ONCE: Final = 5_000
_SUMS: Final = """
    SELECT tenant_id, model, sum(total)::bigint, coalesce(sum(cost_micro), 0)::bigint
    FROM usage WHERE part_of IS NULL GROUP BY tenant_id, model
"""


class Spent(NamedTuple):
    """Tokens, and micro-dollars."""

    tokens: int
    dollars: int


Sums: TypeAlias = dict[tuple[str, str], Spent]
"""By tenant and model."""


class Measured(NamedTuple):
    """What was asked and what is on record, by kind, and the sums of each place."""

    asked: Mapping[str, int]
    seen: Mapping[str, int]
    sums: Mapping[str, Sums]


def added(parts: Iterable[tuple[tuple[str, str], int, int]]) -> Sums:
    """The sums of what was used. What used nothing is left out."""
    tokens: Counter[tuple[str, str]] = Counter()
    dollars: Counter[tuple[str, str]] = Counter()
    for at, count, micro in parts:
        tokens[at] += count
        dollars[at] += micro
    return {at: Spent(tokens[at], dollars[at]) for at in tokens if tokens[at] or dollars[at]}


def of_journal(records: Iterable[Record]) -> Sums:
    """What closing records say."""
    return added(
        (
            (one.tenant_id, one.model),
            one.tokens.total if one.tokens is not None else 0,
            micro_dollars(one.cost) if one.cost else 0,
        )
        for one in records
        if one.kind == Kind.CLOSING
    )


def of_counters(tallies: Iterable[Tally]) -> Sums:
    """What the counters of each model within a tenant hold for the month."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in tallies:
        if set(one.subject) == {"tenant_id", "model"} and (one.end - one.start).days >= 28:
            found.setdefault((one.subject["tenant_id"], one.subject["model"]), {})[one.measure] = one.used
    return added((at, used.get("tokens", 0), used.get("dollars", 0)) for at, used in found.items())


def of_metrics(text: str) -> Sums:
    """What Prometheus would read."""
    parts = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            at = sample.labels.get("tenant_id", ""), sample.labels.get("model", "")
            if sample.name == "ai_tokens_total":
                parts.append((at, round(sample.value), 0))
            elif sample.name == "ai_cost_usd_total":
                parts.append((at, 0, round(sample.value * _DOLLAR)))
    return added(parts)


def of_langfuse(observations: Iterable[tuple[str, Mapping[str, Any]]]) -> Sums:
    """What was sent: attributes of observations, each with its id; one that came twice counts once."""
    parts = []
    for attributes in dict(observations).values():
        tenant = json.loads(attributes.get("langfuse.observation.metadata.tenant_id", '""'))
        usage = json.loads(attributes.get("langfuse.observation.usage_details", "{}"))
        cost = json.loads(attributes.get("langfuse.observation.cost_details", "{}"))
        at = tenant, attributes.get("langfuse.observation.model.name", "")
        parts.append((at, usage.get("total", 0), round(cost.get("total", 0) * _DOLLAR)))
    return added(parts)


async def measure(requests: int, seed: int, folder: Path, clients: int = 48) -> Measured:
    """Load a gateway with so many requests, and add up what each place says of them."""
    with LangfuseReceiver() as receiver:
        async with audited(folder, close_after=20.0, mebibytes=2_048, langfuse=receiver.base) as gateway:
            chance = random.Random(seed)
            traffic = Traffic(int(gateway.url.rpartition(":")[2]), Requests(gateway, chance))
            await traffic.run(lambda: traffic.sent >= requests, clients)
            await settle_down(gateway, _SLACK)
            sums = await _everywhere(gateway, receiver)
            asked = {kind: traffic.kinds[kind] for kind in KINDS}
            return Measured(asked, sightings(await asyncio.to_thread(_records, gateway.journals)), sums)


async def _everywhere(gateway: Audited, receiver: LangfuseReceiver) -> dict[str, Sums]:
    """Asked again until all agree, or nothing has come for a while: metrics are told each second, and sinks follow."""
    came, last = -1, time.monotonic()
    while True:
        if len(receiver.taken) > came:
            came, last = len(receiver.taken), time.monotonic()
        if behind(gateway.journals) and time.monotonic() - last < _SLACK:
            # To read all of it again and again would take the time that the sinks need.
            await asyncio.sleep(1.0)
            continue
        found = {
            "journal": of_journal(await asyncio.to_thread(_records, gateway.journals)),
            "ledger": await asyncio.to_thread(_ledger, gateway),
            "Redis": of_counters([one async for one in Host().tallies(gateway.config)]),
            "Prometheus": of_metrics(await _metrics(gateway)),
            "Langfuse": of_langfuse([(span.span_id.hex(), told(span)) for span in list(receiver.taken)]),
        }
        if len({str(sorted(sums.items())) for sums in found.values()}) == 1 or time.monotonic() - last > _SLACK:
            return found
        await asyncio.sleep(1.0)


def behind(folder: Path) -> bool:
    """Whether a sink has yet to be brought something, as far as is known. `folder`: of the journals."""
    status = read_status(folder)
    return status is None or any(one.behind_records for one in status.sinks.values())


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    for path in journals(folder):
        reader, position = JournalReader(path), Position()
        while (batch := reader.read(position, _AT_ONCE))[0]:
            records += [one.record for one in batch[0]]
            position = batch[1]
    return records


def _ledger(gateway: Audited) -> Sums:
    with gateway.postgres.connect("ledger") as connection:
        rows: list[Any] = connection.execute(_SUMS.encode()).fetchall()
    return added(((tenant, model), tokens, dollars) for tenant, model, tokens, dollars in rows)


async def _metrics(gateway: Audited) -> str:
    transport = httpx.AsyncHTTPTransport(uds=f"{gateway.folder}/admin.sock")
    async with httpx.AsyncClient(transport=transport, base_url="http://policy", timeout=10) as client:
        return (await client.get("/metrics")).text


def table(found: Measured) -> list[str]:
    """How many there were of each kind."""
    told = ["| kind | asked |", "|---|---:|"]
    told += [f"| {kind} | {count:,}{'' if count else ' NONE'} |" for kind, count in found.asked.items()]
    told += ["", "| kind | on record |", "|---|---:|"]
    return [*told, *(f"| {kind} | {count:,}{'' if count else ' NONE'} |" for kind, count in found.seen.items()), ""]


def lines(found: Mapping[str, Sums]) -> list[str]:
    """A line for each tenant and model, and whether all agree about it."""
    told = []
    for at in sorted({at for sums in found.values() for at in sums}):
        said = {place: sums.get(at, Spent(0, 0)) for place, sums in found.items()}
        tenant, model = at
        if len(set(said.values())) == 1:
            spent = next(iter(said.values()))
            told.append(f"{tenant} {model}: {spent.tokens:,} tokens, {spent.dollars:,} micro-dollars, everywhere")
        else:
            words = "; ".join(f"{place} {spent.tokens:,} and {spent.dollars:,}" for place, spent in said.items())
            told.append(f"{tenant} {model}: DIFFERENT: {words}")
    return told


def agree(found: Mapping[str, Sums]) -> bool:
    """Whether all say the same, and something."""
    first, *others = found.values()
    return bool(first) and all(one == first for one in others)


def shown(found: Measured) -> bool:
    """Whether all say the same of what had every kind in it."""
    return agree(found.sums) and all(found.asked.values()) and all(found.seen.values())


def main() -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.one_number", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        found = runner.run(measure(given.requests, given.seed, Path(folder)))
    print("\n".join([*table(found), *lines(found.sums)]))
    return 0 if shown(found) else 1


if __name__ == "__main__":
    sys.exit(main())
