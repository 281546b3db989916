"""Identity by Microsoft Entra ID: access tokens of version 1 and 2, of one tenant or many."""

from policies.entra.policy import EntraPolicy

__all__ = ["EntraPolicy"]
