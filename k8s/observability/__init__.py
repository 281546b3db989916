"""What Prometheus and Grafana are told: `prometheus.yaml`, `rules/`, and dashboards, which are made here.

`python -m k8s.observability` writes `dashboards/*.json` anew (`make dashboards`).
"""
