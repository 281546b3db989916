"""Paths and their answers."""

from __future__ import annotations

import json

import pytest

from extproc.admin.pages import PATHS, page
from extproc.placement import Role, Seat
from extproc.workers.board import Board
from extproc.workers.status import Status

ONE = Seat(1, Role.DECIDE, "unix:/x/1")
SILENT = Board((ONE,))
READY = Board((ONE,))
READY.started(ONE, 11)
READY.heard(ONE, 11, Status(), 0.0)


@pytest.mark.parametrize(
    ("path", "silent", "ready"),
    [
        ("/health/live", 200, 200),
        ("/health/ready", 503, 200),
        ("/health/ready?verbose=1", 503, 200),
        ("/status", 200, 200),
        ("/metrics", 200, 200),
        ("/", 404, 404),
        ("/health", 404, 404),
        ("/metrics/", 404, 404),
        ("/../metrics", 404, 404),
        ("", 404, 404),
        ("http://else/metrics", 404, 404),
    ],
)
def test_status(path: str, silent: int, ready: int) -> None:
    assert page(path, SILENT.read(0.0)).status == silent
    assert page(path, READY.read(0.0)).status == ready


def test_readiness_says_who_lacks_what() -> None:
    assert json.loads(page("/health/ready", SILENT.read(0.0)).body) == {
        "ready": False,
        "workers": [{"worker": 1, "role": "decide", "ready": False, "missing": ["no process"]}],
    }


def test_status_is_the_whole_table() -> None:
    overview = READY.read(0.0)
    assert json.loads(page("/status", overview).body) == overview.document()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_says_what_it_is(path: str) -> None:
    wanted = "text/plain" if path == "/metrics" else "application/json"
    assert page(path, READY.read(0.0)).content_type.startswith(wanted)
