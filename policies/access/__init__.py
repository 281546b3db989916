"""Access: roles and groups to permissions; what no permission allows is denied."""

from policies.access.policy import AccessPolicy

__all__ = ["AccessPolicy"]
