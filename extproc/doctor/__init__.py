"""The doctor: what in a running or rendered Envoy lets requests pass unjudged, uncounted or twice. Knows no policy.

*Reading* turns a config dump, a bootstrap or Kubernetes documents into one view (`dumps`, `bootstraps`, `documents`;
the edge is `http_admin`), *checks* are pure functions from the view to findings, and `traps` says of each finding why it
matters and how it is mended. `examination` puts them together.
"""
