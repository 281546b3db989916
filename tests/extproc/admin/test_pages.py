"""Paths and their answers."""

from __future__ import annotations

import json

import pytest

from extproc.admin.pages import PATHS, Page
from extproc.admin.pages import page as page_of
from extproc.placement import Role, Seat
from extproc.workers.board import Board, Overview, Told
from extproc.workers.status import Dependency, Status

ONE = Seat(1, Role.DECIDE, "unix:/x/1")
SILENT = Board((ONE,))
READY = Board((ONE,))
READY.started(ONE, 11)
READY.heard(ONE, 11, Status(), 0.0)


def page(path: str, overview: Overview) -> Page:
    return page_of(path, overview, Told)


@pytest.mark.parametrize(
    ("path", "silent", "ready"),
    [
        ("/health/live", 200, 200),
        ("/health/ready", 503, 200),
        ("/health/ready?verbose=1", 503, 200),
        ("/health/startup", 503, 200),
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
        "workers": [{"worker": 1, "role": "decide", "ready": False, "missing": ["no process"], "dependencies": []}],
    }


def test_readiness_says_what_each_policy_needs_and_what_its_failure_means() -> None:
    board = Board((ONE,))
    board.started(ONE, 11)
    needs = (Dependency("entra", "closed", missing="no keys"), Dependency("audit", "open", shadow=True))
    board.heard(ONE, 11, Status(missing=("entra: no keys",), dependencies=needs), 0.0)
    (worker,) = json.loads(page("/health/ready", board.read(0.0)).body)["workers"]
    assert worker["missing"] == ["entra: no keys"]
    assert worker["dependencies"] == [
        {"policy": "entra", "failure": "closed", "shadow": False, "ready": False, "missing": "no keys"},
        {"policy": "audit", "failure": "open", "shadow": True, "ready": True, "missing": None},
    ]


def test_the_start_is_over_when_everybody_has_served_and_stays_so() -> None:
    two = Seat(0, Role.SETTLE, "unix:/x/0")
    board = Board((ONE, two))
    board.started(ONE, 11)
    board.heard(ONE, 11, Status(missing=("entra: no keys",)), 0.0)
    board.started(two, 12)
    board.heard(two, 12, Status(serving=False), 0.0)
    asked = page("/health/startup", board.read(0.0))
    assert (asked.status, json.loads(asked.body)) == (
        503,
        {
            "started": False,
            "workers": [
                {"worker": 1, "role": "decide", "started": True},
                {"worker": 0, "role": "settle", "started": False},
            ],
        },
    )
    board.heard(two, 12, Status(), 0.0)
    board.ended(ONE, 11)
    board.started(ONE, 21)
    board.heard(ONE, 21, Status(serving=False), 98.0)
    assert page("/health/startup", board.read(99.0)).status == 200


def test_status_is_the_whole_table() -> None:
    overview = READY.read(0.0)
    assert json.loads(page("/status", overview).body) == overview.document()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_says_what_it_is(path: str) -> None:
    wanted = "text/plain" if path == "/metrics" else "application/json"
    assert page(path, READY.read(0.0)).content_type.startswith(wanted)
