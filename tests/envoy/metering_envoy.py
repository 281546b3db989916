"""A minimal Envoy around `envoy/usage.lua`: what the policy filter would say is set by the listener."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.embedded.ports import free_port
from tests.envoy.lua_meter import SOURCE
from tests.servers import HOST, Envoy, Simulator, running_envoy, running_simulator

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_PATIENCE: Final = 5.0

VERDICTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "unmetered": {"hide_usage": True},
    "chat": {"meter": "openai_chat"},
    "chat_hidden": {"meter": "openai_chat", "hide_usage": True},
    "completions": {"meter": "openai_completions"},
    "completions_hidden": {"meter": "openai_completions", "hide_usage": True},
    "embeddings": {"meter": "openai_embeddings"},
    "responses": {"meter": "openai_responses"},
    "messages": {"meter": "anthropic_messages"},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the access log."""

    usage: dict[str, Any] | None
    flags: str


@dataclass(frozen=True, slots=True)
class Metering:
    """The running pair, and its access log."""

    envoy: Envoy
    simulator: Simulator
    log: Path

    def url(self, verdict: str, path: str) -> str:
        return f"http://{HOST}:{self.envoy.ports[verdict]}{path}"

    def entry(self, case: str) -> Entry:
        """The entry of the request that had this `x-case`. It appears once the exchange is over."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            found = [entry for entry in map(json.loads, lines) if entry["case"] == case]
            if found:
                assert len(found) == 1
                return Entry(found[0]["usage"], found[0]["flags"] or "-")
            time.sleep(0.02)
        raise AssertionError(f"no access log entry within {_PATIENCE:g} s")

    def lua_errors(self) -> int:
        """How many times the script failed."""
        stats = httpx.get(f"http://{HOST}:{self.envoy.admin}/stats?filter=lua.errors&format=json").json()["stats"]
        return sum(stat["value"] for stat in stats)


def new_case() -> str:
    return uuid.uuid4().hex


@contextlib.contextmanager
def running_metering() -> Iterator[Metering]:
    """Envoy with one listener for each of `VERDICTS`, in front of the simulator."""
    with tempfile.TemporaryDirectory() as folder, running_simulator() as simulator:
        log = Path(folder, "access.log")
        bootstrap = {
            "static_resources": {
                "listeners": [_listener(name, verdict, log) for name, verdict in VERDICTS.items()],
                "clusters": [_cluster(simulator.port)],
            }
        }
        with running_envoy(bootstrap, arguments=["--file-flush-interval-msec", "10"]) as envoy:
            yield Metering(envoy, simulator, log)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _filter(kind: str, message: str, **members: Any) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": f"{_TYPES}.filters.http.{kind}.v3.{message}", **members}}


def _listener(name: str, verdict: Mapping[str, Any], log: Path) -> dict[str, Any]:
    fields = {"case": "%REQ(x-case)%", "usage": "%DYNAMIC_METADATA(sluicegate.usage)%", "flags": "%RESPONSE_FLAGS%"}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {"json_format": fields},
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "simulator"}}],
                }
            ]
        },
        "http_filters": [
            _filter("set_metadata", "Config", metadata=[{"metadata_namespace": "sluicegate", "value": dict(verdict)}]),
            _filter("lua", "Lua", default_source_code={"filename": str(SOURCE)}),
            _filter("router", "Router"),
        ],
    }
    return {
        "name": name,
        "address": _address(free_port()),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _cluster(port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": "simulator",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "simulator", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
