"""A running gateway, seen from outside: its addresses, its tokens, what it has settled."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extproc.embedded.demo_tokens import TENANTS, demo_guid
from tests.extproc.embedded.ups import PROGRAM

PATIENCE = 15.0
"""Seconds until a completion must have been told. Envoy holds its access log back for one."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Addresses have no path: `url` is the gateway's, `simulator` that of the upstream behind it."""

    url: str
    simulator: str
    state: Path
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def token(self, user: str = "alice", role: str = "User") -> str:
        """A token of tenant contoso, by the command that a person would type."""
        if (user, role) not in self._tokens:
            command = (PROGRAM, "token", "--tenant", "contoso", "--user", user, "--role", role, "--state", self.state)
            made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            self._tokens[user, role] = made.stdout.strip()
        return self._tokens[user, role]

    def completions(self, user: str, count: int) -> list[dict[str, Any]]:
        """The completion lines of a user in contoso, in the order in which the requests began, once there are `count`.

        One more than that is waited for a moment: there must not be any.
        """
        oid = demo_guid("user", f"{TENANTS['contoso']}/{user}")
        return self._settled(lambda line: line.get("user_id") == oid, count)

    def completions_of(self, request_ids: set[str]) -> dict[str, dict[str, Any]]:
        """The completion lines of these requests, by request id."""
        lines = self._settled(lambda line: line["request_id"] in request_ids, len(request_ids))
        assert len(lines) == len(request_ids)
        return {line["request_id"]: line for line in lines}

    def _settled(self, wanted: Callable[[Mapping[str, Any]], bool], count: int) -> list[dict[str, Any]]:
        deadline = time.monotonic() + PATIENCE
        while len(self._lines(wanted)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        return sorted(self._lines(wanted), key=lambda line: str(line["timestamp"]))

    def _lines(self, wanted: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
        # The last line may be half written.
        text = (self.state / "logs" / "policy.log").read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == "completion" and wanted(line)]


def simulator_url(printed: str) -> str:
    """The simulator's address, from what `sluicegate up` prints."""
    found = re.search(r"upstream simulator +(http://127\.0\.0\.1:\d+)", printed)
    assert found is not None, printed
    return found[1]
