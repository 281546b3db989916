"""A real Prometheus for tests: Debian's package `prometheus`, with the configuration that is in the repository.

Only what a test needs is changed in it: where the targets are, how often they are asked, and the rules.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from extproc.embedded.ports import free_port
from tests.servers import HOST, REPOSITORY, running

FOLDER: Final = REPOSITORY / "k8s/observability"


@dataclass(frozen=True, slots=True)
class Series:
    """One series at one moment."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    client: httpx.Client

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """What an expression is now, or was `at` a moment (seconds since the epoch).

        Raises:
            AssertionError: it is none.
        """
        told = self._get("/api/v1/query", {"query": expression, **({"time": at} if at is not None else {})})
        if told["resultType"] in ("scalar", "string"):
            return [Series({}, float(told["result"][1]))]
        return [Series(one["metric"], float(one["value"][1])) for one in told["result"]]

    def range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """What it was between two moments (seconds since the epoch): `metric` and `values` of each series."""
        words = {"query": expression, "start": start, "end": end, "step": step}
        found: list[dict[str, Any]] = self._get("/api/v1/query_range", words)["result"]
        return found

    def firing(self) -> set[str]:
        """The names of alerts that fire."""
        return {one["labels"]["alertname"] for one in self.alerts() if one["state"] == "firing"}

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that fire or are about to, as Prometheus tells them."""
        found: list[dict[str, Any]] = self._get("/api/v1/alerts", {})["alerts"]
        return found

    def metrics(self) -> set[str]:
        """The names of all series that it has."""
        return set(self._get("/api/v1/label/__name__/values", {}))

    def until(self, done: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until this is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; alerts: {self.alerts()}"
            time.sleep(0.2)

    def _get(self, path: str, words: Mapping[str, Any]) -> Any:
        answer = self.client.get(path, params=words).json()
        assert answer["status"] == "success", (words, answer)
        return answer["data"]


def configured(targets: Mapping[str, str], interval: str, rules: str) -> dict[str, Any]:
    """The repository's configuration with these targets by job, and this file of rules."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yaml").read_text("utf-8"))
    found["global"] = {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval}
    found["rule_files"] = [rules]
    assert {job["job_name"] for job in found["scrape_configs"]} == set(targets)
    for job in found["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return found


@contextlib.contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, str], rules: Mapping[str, Any], interval: str
) -> Iterator[Prometheus]:
    """One that scrapes these targets, by job, until the block ends."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(configured(targets, interval, str(folder / "rules.yaml"))))
    port = free_port()
    url = f"http://{HOST}:{port}"

    def ready() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url}/-/ready", timeout=1, trust_env=False).status_code == 200
        return False

    command = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb"),
        *(f"--web.listen-address={HOST}:{port}", "--log.level=warn"),
    ]
    # A client for each question would cost more than the question.
    with (
        running(command, ready=ready, log=folder / "prometheus.log", grace=10),
        httpx.Client(base_url=url, timeout=20, trust_env=False) as client,
    ):
        yield Prometheus(client)
