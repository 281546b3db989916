"""What is measured of every chain: how long its policies take, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import perf_counter_ns
from typing import Final

from extproc.completion import Completion, Verdict
from extproc.metrics import OTHER, Metrics, Reading

_MICROSECOND: Final = 1_000
_BUCKETS: Final = tuple(
    _MICROSECOND * bound
    for bound in (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000)
)
_NANOSECONDS: Final = 1_000_000_000
_CODE: Final = re.compile(r"(?:[a-z][a-z0-9_]{0,63})?")
_CODES: Final = 200
"""Codes of refusals with a series of their own: those that come with Sluicegate are some 60."""
_GATEWAY: Final = "gateway"
_ENDED: Final = {Verdict.ALLOW: ("all", "allow", ""), Verdict.NONE: (_GATEWAY, "none", "")}
_OUTCOMES: Final = {
    ("reject", True): "reject",
    ("reject", False): "reject_shadow",
    ("respond", True): "respond",
    ("respond", False): "respond_shadow",
    ("failed", True): "failed",
    ("failed", False): "failed_open",
}


class Measures:
    """The host's own metrics of one chain."""

    __slots__ = ("_codes", "_decided", "_policies", "_seconds", "_settling")

    def __init__(self, metrics: Metrics, policies: Iterable[str]) -> None:
        self._policies = frozenset((*policies, _GATEWAY))
        self._codes: set[str] = set()
        room = len(self._policies) + 1
        self._decided = metrics.counter(
            "sluicegate_decisions_total",
            "What policies said of exchanges that have ended: each that was more than to go on, and how many may pass.",
            ("policy", "verdict", "code"),
            room=1_000,
        )
        self._seconds = metrics.histogram(
            "sluicegate_policy_seconds",
            "How long a policy takes for what it is asked before the verdict, with what it waits for.",
            _BUCKETS,
            ("policy",),
            _NANOSECONDS,
            room=room,
        )
        self._settling = metrics.histogram(
            "sluicegate_policy_settle_seconds",
            "How long a policy takes to settle an exchange, with what it waits for.",
            _BUCKETS,
            ("policy",),
            _NANOSECONDS,
            room=room,
        )

    def asked(self, policy: str, began: int) -> int:
        """A policy that was asked at `began` has answered. Nanoseconds of `perf_counter_ns`; now."""
        now = perf_counter_ns()
        self._seconds.observe((policy,), now - began)
        return now

    def settled(self, policy: str, began: int) -> int:
        """A policy has settled what it was told at `began`. Nanoseconds of `perf_counter_ns`; now."""
        now = perf_counter_ns()
        self._settling.observe((policy,), now - began)
        return now

    def ended(self, completion: Completion) -> None:
        """An exchange has ended: what was said of it."""
        told = _ENDED.get(completion.verdict)
        if told is not None:
            self._decided.add(told)
        for decision in completion.decisions:
            policy = decision.policy if decision.policy in self._policies else OTHER
            verdict = _OUTCOMES.get((decision.outcome, decision.enforced), OTHER)
            self._decided.add((policy, verdict, self._code(decision.code)))

    def _code(self, code: str) -> str:
        if code in self._codes:
            return code
        # A policy of a third party may make them up.
        if len(self._codes) >= _CODES or not _CODE.fullmatch(code):
            return OTHER
        self._codes.add(code)
        return code


def tell_certificate(metrics: Metrics, ends: Reading) -> None:
    """When the policy server's certificate ends: of all processes the first, for each takes new files by itself."""
    metrics.gauge(
        "sluicegate_tls_certificate_ends_seconds",
        "When the certificate of the policy server ends, in seconds since the epoch.",
        merge="min",
        read=ends,
    )
