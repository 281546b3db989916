"""The AI Gateway profile: the same policy server in front of Envoy AI Gateway, which runs on Envoy Gateway.

`resources` makes its Kubernetes documents from the settings that the plain profile is made from.
"""
