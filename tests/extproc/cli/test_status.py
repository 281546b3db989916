"""`sluicegate status`: asks where the configuration says, and shows what it is told."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from extproc.admin.http_endpoint import admin_endpoint
from extproc.cli.app import run
from extproc.embedded.ports import free_port
from extproc.placement import Role, Seat
from extproc.workers.board import Board
from extproc.workers.status import Status

ONE, SETTLE = Seat(1, Role.DECIDE, "unix:/x/1"), Seat(0, Role.SETTLE, "unix:/x/settle")


def board(*missing: str) -> Board:
    made = Board((ONE, SETTLE))
    made.started(ONE, 11)
    counters = {"connections_open": 2, "streams": 1200, "streams_open": 3, "violation_ping": 1, "violation_rst": 2}
    made.heard(ONE, 11, Status(missing=missing, counters=counters, memory=70 * 2**20), 0.0)
    made.started(SETTLE, 12)
    made.heard(SETTLE, 12, Status(counters={"streams": 2, "completions": 1190}, memory=60 * 2**20), 0.0)
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as made:
        yield Path(made)


def config(folder: Path, admin: str | None) -> str:
    path = folder / "c.yaml"
    path.write_text(json.dumps({"server": {"admin": admin} if admin else {}, "policies": [{"policy": "p"}]}))
    return str(path)


def test_a_table_of_the_workers_and_all_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with admin_endpoint(f"unix:{folder}/a.sock", lambda: board().read(0.0)) as address:
        assert run(["status", config(folder, address)], plugins=()) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["1", "decide", "11", "yes", "1", "2", "1200", "3", "0", "3", "70", "MiB"]
    assert lines[2] == ["0", "settle", "12", "yes", "1", "0", "2", "0", "1190", "0", "60", "MiB"]
    assert lines[3] == ["all", "yes", "2", "2", "1202", "3", "1190", "3", "130", "MiB"]


def test_what_policies_have_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = board()
    made.heard(ONE, 11, Status(counters={"streams": 1, "limits_refused": 7, "limits_admitted": 10}), 0.0)
    made.heard(SETTLE, 12, Status(counters={"completions": 1, "limits_refused": 1}), 0.0)
    with admin_endpoint(f"unix:{folder}/a.sock", lambda: made.read(0.0)) as address:
        assert run(["status", config(folder, address)], plugins=()) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [["counted", "by", "policies", "all"], ["limits_admitted", "10"], ["limits_refused", "8"]]


def test_who_is_not_ready_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with admin_endpoint("127.0.0.1:0", lambda: board("entra: no\x1b[2J keys").read(0.0)) as address:
        assert run(["status", config(folder, address)], plugins=()) == 1
    written = capsys.readouterr().out
    assert "no: entra: no\\x1b[2J keys" in written
    assert "\x1b" not in written
    assert "is not ready" not in written


def test_a_long_reason_is_told_below_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "entra: " + "no keys of the tenant contoso " * 4 + "\x1b[2J"
    with admin_endpoint(f"unix:{folder}/a.sock", lambda: board(reason).read(0.0)) as address:
        assert run(["status", config(folder, address)], plugins=()) == 1
    table, below = capsys.readouterr().out.split("\n\n")
    assert max(map(len, table.splitlines())) < 180
    assert f"  no: {reason}"[:59] + "...  " in table
    assert below == "worker 1 is not ready: " + reason.replace("\x1b", "\\x1b") + "\n"


@pytest.mark.parametrize(
    ("counters", "role", "hint"),
    [
        ({"connections_open": 0}, Role.DECIDE, True),
        ({"connections_open": 0}, Role.BOTH, True),
        ({"connections_open": 1}, Role.DECIDE, False),
        ({"connections_open": 0}, Role.SETTLE, False),
        ({}, Role.DECIDE, False),
    ],
)
def test_who_is_ready_and_has_no_connection_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], counters: dict[str, int], role: Role, hint: bool
) -> None:
    seat = Seat(3, role, "unix:/x/3")
    made = Board((seat,))
    made.started(seat, 11)
    made.heard(seat, 11, Status(counters=counters), 0.0)
    with admin_endpoint(f"unix:{folder}/a.sock", lambda: made.read(0.0)) as address:
        run(["status", config(folder, address)], plugins=())
    assert ("without a connection of Envoy's: worker 3." in capsys.readouterr().out) is hint


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overview = board().read(0.0)
    with admin_endpoint(f"unix:{folder}/a.sock", lambda: overview) as address:
        assert run(["status", "--json", config(folder, address)], plugins=()) == 0
    assert json.loads(capsys.readouterr().out) == overview.document()


def test_it_must_be_told_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", config(folder, None)], plugins=()) == 2
    assert "server.admin: not set" in capsys.readouterr().err


# httpcore leaves a unix socket open that it cannot connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", ["unix:/nowhere/a.sock", f"127.0.0.1:{free_port()}"], ids=["socket", "port"])
def test_nobody_answers(where: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", config(folder, where)], plugins=()) == 1
    assert f"sluicegate: {where}: no policy server answers there" in capsys.readouterr().err


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ready": "yes"}')

    def log_message(self, *_: object) -> None: ...


def test_somebody_else_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        assert run(["status", config(folder, address)], plugins=()) == 1
    assert f"{address}: what answers there is no policy server" in capsys.readouterr().err
