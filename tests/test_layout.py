"""The layout: who may import whom, what has tests, what a file may not hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
VOCABULARY: Final = frozenset(
    {
        *("exchange", "outcome", "policy", "call", "identity", "completion", "catalogue", "price", "tariff", "payload"),
        *("secret", "tasks", "trace_context", "reservation", "actuals", "recorder", "tally", "spending", "metrics"),
        # What `metrics` is made of.
        "snapshots",
        # What commands of policies are made of.
        *("commands", "configured", "printing", "mistakes", "strict_yaml"),
    }
)
"""The modules of the host that a policy may import."""
EDGE: Final = re.compile(r"(?:http|redis|langfuse|prometheus|otlp|syslog|sql|grpc|mcp)_\w+")
"""Modules that touch a technology are named by it. Only they import what talks to the outside."""
OUTSIDE: Final = frozenset(
    {
        *("aiohttp", "asyncpg", "grpc", "h2", "http", "httpx", "httpx2", "langfuse", "prometheus_client", "redis"),
        *("requests", "smtplib", "socket", "socketserver", "sqlalchemy", "sqlite3", "ssl", "subprocess", "urllib3"),
        *("valkey", "websockets"),
    }
)
# Modules that touch grpc and Envoy's messages, by name or by being the one place for it.
HOST_EDGES: Final = frozenset({"grpc_transport", "protos", "sockets", "wire_calls"})
# Source modules without a test file of their name, and the file that tests them. The list may only shrink.
TESTED_ELSEWHERE: Final = {
    "extproc/call.py": "extproc/test_calls.py",
    "extproc/identity.py": "extproc/test_travel.py",
    "extproc/serving.py": "extproc/test_server.py",
    "extproc/protos.py": "extproc/test_conversation.py",
    "extproc/transport.py": "contract/test_data_path.py",
    "extproc/cli/asked.py": "extproc/cli/test_explain.py",
    "extproc/cli/loading.py": "extproc/cli/test_check.py",
    "extproc/cli/references.py": "extproc/cli/test_check.py",
    "extproc/cli/render.py": "extproc/cli/test_app.py",
    "extproc/cli/schema.py": "extproc/cli/test_app.py",
    "extproc/embedded/child.py": "extproc/embedded/test_supervisor.py",
    "extproc/embedded/faults.py": "extproc/embedded/test_supervisor.py",
    "extproc/embedded/in_process.py": "extproc/embedded/test_stack.py",
    "extproc/embedded/leash.py": "extproc/embedded/test_up.py",
    "extproc/embedded/waiting.py": "extproc/embedded/test_stack.py",
    "extproc/wire/events.py": "extproc/wire/test_connection.py",
    "extproc/workers/duty.py": "extproc/workers/test_worker.py",
    "extproc/workers/slot.py": "extproc/workers/test_supervisor.py",
    "policies/entra/groups_claim.py": "policies/entra/test_claims.py",
    "policies/entra/http_fetch.py": "policies/entra/test_http_keys.py",
    "policies/entra/mapped.py": "policies/entra/test_claims.py",
    "policies/entra/refusal.py": "policies/entra/test_claims.py",
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def names(paths: Iterable[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, by its full name.

    `from a import b` may import the module `a.b` or a name of `a`: both are given.
    """
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if (ROOT / module.replace(".", "/")).is_dir())


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", names(sources("extproc")))
def test_the_host_knows_no_policy(path: str) -> None:
    assert not roots(ROOT / path) & {"policies", "tests"}


@pytest.mark.parametrize("path", names(sources("policies")))
def test_policies_know_the_vocabulary_only(path: str) -> None:
    of_host = {name for name in imported(ROOT / path) if name.partition(".")[0] == "extproc"} - {"extproc"}
    allowed = {f"extproc.{module}" for module in VOCABULARY}
    assert of_host <= allowed
    assert "tests" not in roots(ROOT / path)
    assert "loadtests" not in roots(ROOT / path)
    assert "envoy" not in roots(ROOT / path)


def test_the_vocabulary_is_written_down_where_it_is_read() -> None:
    text = (ROOT / "extproc/__init__.py").read_text("utf-8")
    listed = text.partition("`tests/test_layout.py`):")[2].partition("*Pure*")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == VOCABULARY
    assert all((ROOT / "extproc" / f"{module}.py").exists() for module in VOCABULARY)


@pytest.mark.parametrize("module", sorted(VOCABULARY))
def test_the_vocabulary_knows_no_more_than_itself(module: str) -> None:
    of_host = {name for name in imported(ROOT / f"extproc/{module}.py") if name.startswith("extproc.")}
    assert of_host <= {f"extproc.{other}" for other in VOCABULARY}


@pytest.mark.parametrize("path", names(sources("policies")))
def test_policies_do_not_know_each_other(path: str) -> None:
    own = path.split("/")[1]
    others = {name.split(".")[1] for name in imported(ROOT / path) if name.startswith("policies.")} - {own}
    assert others == set()


@pytest.mark.parametrize("path", names(sources("policies")))
def test_only_edges_touch_the_outside(path: str) -> None:
    if not EDGE.fullmatch(Path(path).stem):
        assert not roots(ROOT / path) & OUTSIDE
        assert "urllib.request" not in set(imported(ROOT / path))


@pytest.mark.parametrize("path", names(sorted((ROOT / "extproc").glob("*.py"))))
def test_only_the_hosts_edges_know_grpc(path: str) -> None:
    if Path(path).stem not in HOST_EDGES:
        # The conversation speaks in Envoy's messages, by the names that `protos` gives them.
        assert not roots(ROOT / path) & {"grpc", "grpc_health", "envoy", "google", "httpx"}


@pytest.mark.parametrize("path", names([*sources("extproc"), *sources("policies"), *sources("loadtests")]))
def test_modules_stay_small(path: str) -> None:
    assert len((ROOT / path).read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", names([*sources("extproc"), *sources("policies")]))
def test_every_module_says_what_it_is(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_envoy_is_data() -> None:
    assert list((ROOT / "envoy").rglob("*.py")) == []


def untested() -> set[str]:
    """Source modules that no test file is named after."""
    return {
        str(path.relative_to(ROOT))
        for package in ("extproc", "policies")
        for path in sources(package)
        if not path.stem.startswith("__") and not list((ROOT / "tests").rglob(f"test_{path.stem}.py"))
    }


def test_every_module_has_a_test_file() -> None:
    assert untested() - set(TESTED_ELSEWHERE) == set()


def test_no_module_is_excused_that_needs_no_excuse() -> None:
    assert set(TESTED_ELSEWHERE) - untested() == set()
    assert [name for name in TESTED_ELSEWHERE.values() if not (ROOT / "tests" / name).exists()] == []


# Written so that this file does not match itself.
MACHINE_PATH: Final = re.compile(
    "|".join(
        ["/" + "work/(?:main|shared)", "/" + "tmp/v/", "/" + "root/", "/" + "home/\\w", "/" + "Users/\\w", "C:" + r"\\\\"]
    )
)


def tracked() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return names(
            path for package in ("extproc", "policies", "tests", "envoy") for path in (ROOT / package).rglob("*.*")
        )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_the_path_of_a_machine() -> None:
    found = []
    for name in tracked():
        text = (ROOT / name).read_text("utf-8", "replace")
        found += [f"{name}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []
