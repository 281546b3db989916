"""Fuzz the wire: `python -m loadtests.fuzz --seconds 60`.

With atheris (libFuzzer for Python) the mutations are led by coverage. Where there is no wheel of it, a seeded mutator of
the same frames runs instead, and says so. Either starts from what real clients sent (`recordings`): Envoy, grpcio,
nghttp, curl.
"""
