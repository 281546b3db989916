"""The rate at which the ledger follows: few exchanges, all of which must become rows."""

from __future__ import annotations

import json

import pytest

from loadtests.ledger_rate import Found, exchange, main
from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.record import SCHEMA


@pytest.mark.stack
def test_every_exchange_of_the_journal_becomes_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--exchanges", "1200"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows in the ledger"] == told["exchanges"] == 1_200


def test_rows_are_counted_from_the_first_batch_on() -> None:
    told = Found(exchanges=100, rows=100, seconds=2.0, counted=80, cpu=0.4).told()
    assert (told["rows a second"], told["records a second"]) == (40, 80)
    assert told["microseconds of the companion's CPU for a row"] == 5_000


def test_what_came_in_one_batch_has_no_rate() -> None:
    assert Found(exchanges=5, rows=5, seconds=0.0, counted=0, cpu=0.0).told()["rows a second"] == 0


def test_the_records_are_such_as_the_journal_takes() -> None:
    kinds = []
    for number, fields in enumerate(exchange(3, 1_795_268_303.25), 1):
        line, _ = seal_members(fields | {"journal": "gw.0", "previous": FIRST, "schema": SCHEMA, "sequence": number})
        kinds.append(read(line).record.kind)
    assert kinds == ["decision", "closing"]
