"""What is answered at which path. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from extproc.admin.prometheus_text import CONTENT_TYPE, metrics
from extproc.workers.board import Overview

PATHS: Final = ("/health/live", "/health/ready", "/metrics", "/status")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    content_type: str
    body: bytes


def page(path: str, overview: Overview) -> Page:
    """The answer to a GET of `path`. A query is not looked at."""
    match path.partition("?")[0]:
        case "/health/live":
            return _json(200, {"live": True})
        case "/health/ready":
            return _json(200 if overview.ready else 503, _readiness(overview))
        case "/status":
            return _json(200, overview.document())
        case "/metrics":
            return Page(200, CONTENT_TYPE, metrics(overview))
        case _:
            return _json(404, {"error": "not found", "paths": PATHS})


def _readiness(overview: Overview) -> dict[str, Any]:
    workers = [
        {"worker": view.seat.index, "role": view.seat.role.value, "ready": view.ready, "missing": view.missing}
        for view in overview.views
    ]
    return {"ready": overview.ready, "workers": workers}


def _json(status: int, value: Any) -> Page:
    return Page(status, "application/json", orjson.dumps(value) + b"\n")
