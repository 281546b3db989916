"""What is answered at which path. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from extproc.admin.prometheus_text import metrics
from extproc.workers.board import Overview, Told, View

PATHS: Final = ("/health/live", "/health/ready", "/health/startup", "/metrics", "/status")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    content_type: str
    body: bytes


def page(path: str, overview: Overview, told: Callable[[], Told], accept: str = "") -> Page:
    """The answer to a GET of `path`. A query is not looked at. `told`: what was measured, for who asks for it."""
    match path.partition("?")[0]:
        case "/health/live":
            return _json(200, {"live": True})
        case "/health/ready":
            return _json(200 if overview.ready else 503, _readiness(overview))
        case "/health/startup":
            return _json(200 if overview.begun else 503, _startup(overview))
        case "/status":
            return _json(200, overview.document())
        case "/metrics":
            text, content_type = metrics(overview, told(), accept)
            return Page(200, content_type, text)
        case _:
            return _json(404, {"error": "not found", "paths": PATHS})


def _readiness(overview: Overview) -> dict[str, Any]:
    workers = [
        {**_seat(view), "ready": view.ready, "missing": view.missing, "dependencies": _dependencies(view)}
        for view in overview.views
    ]
    return {"ready": overview.ready, "workers": workers}


def _startup(overview: Overview) -> dict[str, Any]:
    return {"started": overview.begun, "workers": [{**_seat(view), "started": view.begun} for view in overview.views]}


def _seat(view: View) -> dict[str, Any]:
    return {"worker": view.seat.index, "role": view.seat.role.value}


def _dependencies(view: View) -> list[dict[str, Any]]:
    return [
        {
            "policy": one.policy,
            "failure": one.failure,
            "shadow": one.shadow,
            "ready": one.missing is None,
            "missing": one.missing,
        }
        for one in view.dependencies
    ]


def _json(status: int, value: Any) -> Page:
    return Page(status, "application/json", orjson.dumps(value) + b"\n")
