"""What policies count, under names that can stand beside the host's own.

The names and numbers are a third party's, and they travel: from a worker to its supervisor as one line, and to Prometheus
as names of metrics. One that would break either is left out.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from extproc.policy import Policy
from extproc.workers.status import is_gauge

_log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"(?=.{1,100}\Z)[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_MOST: Final = 2**53
"""What a reader of JSON, and Prometheus, still take for the same number."""
_ROOM: Final = 256
"""Names of all policies together: a worker's status is a line of bounded length."""
_OWN: Final = frozenset(
    {
        *("access_log_messages_dropped", "completions", "connections", "connections_open", "streams", "streams_open"),
        *("log_lines_lost", "tls_handshakes", "tls_handshakes_open"),
        # Metrics of the host's, with labels of their own: see `extproc.measures` and `extproc.admin.prometheus_series`.
        *("decisions", "metrics_moved", "metrics_refused", "policy_seconds", "policy_settle_seconds"),
    }
)
_OWN_PREFIXES: Final = ("violation_", "worker_")


def is_own(name: str) -> bool:
    """Whether a counter of this name is the host's own."""
    return name in _OWN or name.startswith(_OWN_PREFIXES)


class PolicyCounters:
    """The counters of all policies, and what has been said about those that are left out."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = tuple(policies)
        self._complained: set[str] = set()

    def read(self) -> dict[str, int]:
        """Counts by `<policy>_<key>`. What has no such name, or is no count, is left out, and logged once."""
        found: Counter[str] = Counter()
        for policy in self._policies:
            for name, count in self._counted(policy):
                if len(found) < _ROOM or name in found:
                    found[name] += count
                else:
                    self._complain(policy, "too many")
        return dict(found)

    def _counted(self, policy: Policy) -> Iterator[tuple[str, int]]:
        try:
            counted: Mapping[Any, Any] = dict(policy.counters())
        except BaseException as error:
            self._complain(policy, type(error).__name__)
            return
        for key, count in counted.items():
            name = f"{policy.name}_{key}" if isinstance(key, str) else ""
            if not usable(name):
                self._complain(policy, f"no name for a counter: {name[:100]!a}")
            elif type(count) is not int or not 0 <= count < _MOST:
                self._complain(policy, f"no count: {name}")
            else:
                yield name, count

    def _complain(self, policy: Policy, why: str) -> None:
        line = f"counters of {policy.name} are left out: {why}"
        if line not in self._complained and len(self._complained) < _ROOM:
            self._complained.add(line)
            _log.warning("%s", line)


def usable(name: str) -> bool:
    """Whether a counter of a policy can be called so. One of the endings means a gauge, the other is the metric's own."""
    return _NAME.fullmatch(name) is not None and not (is_own(name) or is_gauge(name) or name.endswith("_total"))
