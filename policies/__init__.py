"""The decisions, one package each. They know the host's vocabulary and nothing of Envoy."""
