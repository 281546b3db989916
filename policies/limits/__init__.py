"""Limits on requests, tokens and dollars: reserved before a byte goes up, settled after the last one."""

from policies.limits.policy import LimitsPolicy

__all__ = ["LimitsPolicy"]
