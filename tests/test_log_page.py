"""The page on the log has every member that a completion can have, every ending, and commands that work."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import fields

from extproc.access_log import classify
from extproc.call import Call, Operation
from extproc.completion import Completion, Decision, EndedBy, Ending, Usage, Verdict, by_type
from extproc.completion_log import line, record
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity

PAGE = (Path(__file__).resolve().parent.parent / "docs/reference/log.md").read_text("utf-8")
LOG = ".sluicegate/logs/policy.log"
CALLER = Identity("t", "u", "a", CallerKind.USER, tenant_name="contoso", department="d", cost_centre="c")
CALL = Call(Operation.AGENT, Dialect.OPENAI, "gpt-4o", stream=True, route="kb")


def completion(*, usage: Usage | None, call: Call) -> Completion:
    return Completion(
        id="exchange",
        request_id="wanted",
        method="POST",
        path="/",
        status=200,
        verdict=Verdict.ALLOW,
        ending=Ending.ANSWERED,
        ended_by=EndedBy.UPSTREAM,
        started=datetime(2026, 11, 21, tzinfo=UTC),
        duration=1.0,
        first_byte=0.5,
        bytes_in=1,
        bytes_out=1,
        usage=usage,
        output_floor=1,
        upstream="openai",
        response_model="m",
        backend="b",
        decisions=(Decision("access", "reject", "model_not_allowed", "why"),),
        flags=("f",),
        marks=("m",),
        details="d",
        facts=by_type([CALLER, call]),
    )


FULL = completion(usage=Usage(input=3, output=4, total=7), call=CALL)
UNMETERED = completion(usage=None, call=Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o"))


def rows(header: str) -> list[tuple[str, ...]]:
    """The names in the first cell, of every row of the table whose first heading this is."""
    table = PAGE[PAGE.index(f"\n| {header} |") :].split("\n\n", 1)[0]
    return [tuple(re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])) for row in table.strip().splitlines()[2:]]


def names(header: str) -> list[str]:
    return [name for row in rows(header) for name in row]


def test_every_member_is_there_and_no_other() -> None:
    assert sorted(names("member")) == sorted({*record(FULL), *record(UNMETERED)})


@pytest.mark.parametrize(("header", "kind"), [("in `usage`", Usage), ("in `decisions`", Decision)])
def test_members_within_members(header: str, kind: type[Usage] | type[Decision]) -> None:
    assert sorted(names(header)) == sorted(one.name for one in fields(kind))


ENDINGS = [
    (Verdict.ALLOW, set[str](), "via_upstream"),
    (Verdict.RESPOND, set[str](), ""),
    (Verdict.REJECT, set[str](), ""),
    (Verdict.NONE, set[str](), "ext_proc_error"),
    (Verdict.ALLOW, {"upstream_connection_failure"}, "upstream_reset_before_response_started{x}"),
    (Verdict.ALLOW, {"no_route_found"}, "route_not_found"),
    (Verdict.ALLOW, set[str](), "upstream_reset_after_response_started{x}"),
    (Verdict.ALLOW, {"upstream_request_timeout"}, "response_timeout"),
    (Verdict.ALLOW, {"downstream_connection_termination"}, "via_upstream"),
]


def test_every_ending_and_who_ended_it() -> None:
    table = PAGE[PAGE.index("\n| `ending` | `ended_by` |") :]
    stated = re.findall(r"^\| `([a-z_]+)` \| `([a-z]+)` \|", table, re.MULTILINE)
    found = [classify(verdict, frozenset(flags), details, answered=True) for verdict, flags, details in ENDINGS]
    assert stated == [(ending.value, by.value) for ending, by in found]
    assert {ending for ending, _ in found} == set(Ending)
    assert {by for _, by in found} == set(EndedBy)


COMMANDS = re.findall(r"^jq .*$", PAGE, re.MULTILINE)
ANSWERS = ['"exchange_id":"exchange"', '"tokens": 7', "2 model_not_allowed"]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(("command", "answer"), list(zip(COMMANDS, ANSWERS, strict=True)))
def test_commands_say_what_they_are_for(tmp_path: Path, command: str, answer: str) -> None:
    log = tmp_path / LOG
    log.parent.mkdir(parents=True)
    log.write_bytes(b'{"event":"listening"}\n' + line(FULL) + b"\n" + line(UNMETERED) + b"\n")
    done = subprocess.run(["/bin/sh", "-c", f"ID=wanted; {command}"], cwd=tmp_path, capture_output=True, check=True)
    assert answer in done.stdout.decode()
