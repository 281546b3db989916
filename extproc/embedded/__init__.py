"""The embedded stack: everything around the policy server that a newcomer would otherwise have to install.

`sluicegate up` starts real Envoy and real Valkey from their wheels, the policy server, and the stand-ins that a
configuration names by `embedded://…`: a demo identity provider and a simulator of LLM providers.
"""
