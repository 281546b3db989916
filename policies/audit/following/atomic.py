"""`policies.audit.atomic.replace` under its former name, for the finisher."""

from __future__ import annotations

from policies.audit.atomic import replace

__all__ = ["replace"]
