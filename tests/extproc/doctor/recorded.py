"""What the real AI Gateway made Envoy run with our resources: recorded, and reduced to what the doctor looks at.

SLUICEGATE_TEST_PROFILE=ai-gateway SLUICEGATE_AIGW=/path/to/aigw python -m tests.extproc.doctor.recorded

writes `tests/fixtures/doctor/ai_gateway.json` anew. Our scripts are put back when it is read: those of today.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.envoy_data import data_directory
from extproc.settings import Settings, parse
from tests.ai_gateway import running_ai_gateway
from tests.servers import HOST

RECORDED: Final = Path(__file__).parents[2] / "fixtures" / "doctor" / "ai_gateway.json"
FIELDS: Final = ("x-ratelimit-remaining-requests",)
SCRIPTS: Final = ("guard.lua", "usage.lua", "replies.lua")
_PARTS: Final = (
    "BootstrapConfigDump",
    "ClustersConfigDump",
    "ListenersConfigDump",
    "RoutesConfigDump",
    "EndpointsConfigDump",
)
# Of the management server, and of how the clusters happen to be balanced.
_CLUSTERS: Final = ("xds_cluster", "wasm_cluster")
_MEMBERS: Final = frozenset(
    {"last_updated", "version_info", "client_status", "metadata", "load_balancing_policy", "extensions"}
)


def settings(**changes: Any) -> Settings:
    """Providers over TLS, a model of one's own, an agent."""
    tree: dict[str, Any] = {
        "listen": {"address": HOST, "port": 1975},
        "server": {"listen": f"{HOST}:50051", "profile": "ai-gateway"},
        "upstreams": [
            {"name": "openai", "provider": "openai", "url": "https://api.openai.com/v1", "models": ["gpt-4o"]},
            {"name": "claude", "provider": "anthropic", "url": "https://api.anthropic.com", "models": ["claude-*"]},
            {"name": "own", "provider": "openai", "url": "http://localhost:11434/v1", "models": ["llama"]},
        ],
        "agents": [{"name": "kb", "url": "http://localhost:11435"}],
        "policies": [{"policy": "entra"}],
    }
    return parse({**tree, **changes})


def dump() -> dict[str, Any]:
    """The recorded config dump."""
    text = RECORDED.read_text("utf-8")
    return dict(_scripts(json.loads(text)))


def _scripts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _scripts(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_scripts(item) for item in value]
    if isinstance(value, str) and value.removeprefix("$") in SCRIPTS:
        return (data_directory() / value.removeprefix("$")).read_text("utf-8")
    return value


def reduced(whole: Any) -> dict[str, Any]:
    """What the doctor looks at, without what is of one machine or one moment."""
    parts = [part for part in whole["configs"] if part["@type"].rpartition(".")[2] in _PARTS]
    for part in parts:
        bootstrap = part.get("bootstrap", {})
        for name in set(bootstrap) - {"admin", "node", "overload_manager"}:
            del bootstrap[name]
        for name in ("static_clusters", "dynamic_active_clusters"):
            part[name] = [each for each in part.get(name, []) if each["cluster"]["name"] not in _CLUSTERS]
        for name in ("static_endpoint_configs", "dynamic_endpoint_configs"):
            listed = part.get(name, [])
            part[name] = [each for each in listed if each["endpoint_config"].get("cluster_name") not in _CLUSTERS]
    kept = _without(parts, {(data_directory() / name).read_text("utf-8"): f"${name}" for name in SCRIPTS})
    return {"configs": [{key: _sorted(value) for key, value in part.items() if value != []} for part in kept]}


def _sorted(value: Any) -> Any:
    """Envoy lists what it was told at run time in any order."""
    return sorted(value, key=lambda each: json.dumps(each, sort_keys=True)) if isinstance(value, list) else value


def _without(value: Any, scripts: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(member, scripts) for key, member in value.items() if key not in _MEMBERS}
    if isinstance(value, list):
        return [_without(item, scripts) for item in value]
    if isinstance(value, str) and value.startswith("/tmp/"):
        return "/run/aigw.sock"
    return scripts.get(value, value) if isinstance(value, str) else value


def record() -> None:
    """Run it and write down what it runs."""
    with running_ai_gateway(settings(), response_fields=FIELDS) as envoy:
        whole = httpx.get(f"http://{HOST}:{envoy.admin}/config_dump?include_eds").json()
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(json.dumps(reduced(whole), indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    record()
