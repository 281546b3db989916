"""The host: Envoy's conversation, and the vocabulary in which policies speak. Knows no policy.

Modules are of three kinds, told apart by name. *Vocabulary* is what a policy may import (see `VOCABULARY` in
`tests/test_layout.py`): `exchange`, `outcome`, `policy`, `call`, `identity`, `completion`, `catalogue`, `price`,
`tariff`, `payload`, `secret`, `tasks`, `trace_context`, `reservation`, `actuals`, `recorder`, `tally`, `spending`,
`metrics`, `snapshots`; and for its commands `commands`, `configured`, `printing`, `mistakes`, `strict_yaml`. *Pure*
modules turn plain values into plain values. *Edges* are named by the technology they touch (`grpc_*`, `envoy_*`).
"""
