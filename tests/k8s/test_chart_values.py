"""What the chart refuses, by its schema or in its templates; and what its values change."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from k8s.checks import check
from tests.k8s.manifests import CHART, Document, asked, configuration, for_envoy, helm, one, rendered

AUDITED = (
    '[{"policy":"audit","settings":{"journal":{"folder":"/var/lib/sluicegate/journal"},'
    '"sinks":[{"kind":"ledger","url":{"env":"LEDGER_URL"}}]}}]'
)
REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no policies": ("minimal", ("config.policies=[]",), "minItems"),
    "unknown value": ("minimal", ('replica="2"',), "additional properties"),
    "root": ("minimal", ("podSecurityContext.runAsUser=0",), "/podSecurityContext/runAsUser"),
    "perhaps root": ("minimal", ("podSecurityContext.runAsNonRoot=false",), "/podSecurityContext/runAsNonRoot"),
    "system calls": ("minimal", ('podSecurityContext.seccompProfile.type="Unconfined"',), "seccompProfile"),
    "latest": ("minimal", ('image.tag="latest"',), "/image/tag"),
    "half a digest": ("minimal", ('image.digest="sha256:12"',), "/image/digest"),
    "no memory limit": ("minimal", ("resources.limits=null",), "limits"),
    "no pause": ("minimal", ("drain.preStopSeconds=0",), "/drain/preStopSeconds"),
    "no replicas": ("minimal", ("replicas=0",), "/replicas"),
    "one replica by itself": ("minimal", ("autoscaling.enabled=true", "autoscaling.min=1"), "/autoscaling/min"),
    "no eviction": ("minimal", ("disruption.maxUnavailable=0",), "/disruption/maxUnavailable"),
    "no labels": ("minimal", ('networkPolicy.agents=[{"name":"a","podSelector":{},"ports":[1]}]',), "matchLabels"),
    "secret in plain": ("minimal", ('extraEnv=[{"name":"DB_PASSWORD","value":"x"}]',), "/extraEnv/0/name"),
    "secret without a key": ("minimal", ('secrets.env={"A":{"secret":"b"}}',), "key"),
    "listen": ("minimal", ('config.server={"listen":"unix:/x"}',), "config.server.listen is set by the chart"),
    "admin": ("minimal", ('config.server={"admin":"127.0.0.1:1"}',), "config.server.admin is set by the chart"),
    "stand-ins": ("minimal", ('config.upstreams=[{"url":"embedded://simulator"}]',), "sluicegate up"),
    "open to all": ("minimal", ("networkPolicy.enabled=false",), "whoever reaches the port"),
    "inner port": ("minimal", ("config.listen.port=9856",), "9856 is an inner port"),
    "inner port, admin": ("minimal", ("config.listen.port=1064",), "1064 is an inner port"),
    "gRPC probe over TLS": ("air-gapped", ('probes.readiness="grpc"',), "without certificates"),
    "gRPC probe of several": ("minimal", ('probes.readiness="grpc"', "workers=2"), "one port"),
    "workers in a sidecar": ("sidecar", ("workers=2",), "in a sidecar it is 1"),
    "journal on one node": ("azure", ('journal.accessMode="ReadWriteOnce"',), "needs ReadWriteMany"),
    "journal nowhere": ("azure", ("journal.enabled=false",), "needs a volume"),
    "journal of nobody": ("minimal", ("journal.enabled=true",), "nothing writes there"),
    "secret that is not given": ("production", ("secrets.env=null",), "REDIS_PASSWORD is not given"),
    "a secret deep inside": ("azure", (f"config.policies={AUDITED}",), "settings.sinks[0].url: the environment variable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_said_why(name: str) -> None:
    values, given, why = REFUSED[name]
    made = helm(*asked(values, *given))
    assert made.returncode != 0
    assert why in made.stderr


def test_without_a_configuration_nothing_is_installed() -> None:
    made = helm("template", "sluicegate", str(CHART))
    assert made.returncode != 0
    assert "policies" in made.stderr


def test_the_journal_must_lie_on_its_volume() -> None:
    policies = '[{"policy":"audit","settings":{"journal":{"folder":"/srv/journal"}}}]'
    made = helm(*asked("azure", f"config.policies={policies}"))
    assert "below /var/lib/sluicegate" in made.stderr


def container(found: list[Document], kind: str = "Deployment") -> Document:
    made: Document = one(found, kind)["spec"]["template"]["spec"]["containers"][0]
    return made


def test_a_change_of_the_configuration_rolls_the_pods() -> None:
    def digest(*given: str) -> str:
        found = rendered("minimal", *given)
        text = one(found, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        assert text == hashlib.sha256(configuration(found).encode()).hexdigest()
        return str(text)

    assert digest() == digest("replicas=3")
    assert digest() != digest("config.server.grace=20")


def test_pods_have_the_time_that_they_may_need() -> None:
    found = rendered("minimal", "config.server.grace=12.5", "drain.preStopSeconds=15")
    assert one(found, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 15 + 2 * 13 + 30
    assert check(found)[0].code == "not_encrypted"


def test_several_workers_have_a_port_each_and_one_to_settle() -> None:
    found = rendered("air-gapped", "workers=3")
    ports = [x["port"] for x in one(found, "Service", "sluicegate-policy")["spec"]["ports"]]
    assert ports == [50051, 50052, 50053, 50054]
    assert [x["containerPort"] for x in container(found)["ports"]] == [*ports, 9902]
    policy = one(found, "NetworkPolicy", "sluicegate-policy")["spec"]["ingress"][0]["ports"]
    assert policy == [{"protocol": "TCP", "port": 50051, "endPort": 50054}]
    assert check([*found, *for_envoy(found)]) == []


@pytest.mark.parametrize(
    ("values", "given", "kind"),
    [("minimal", (), "grpc"), ("air-gapped", (), "httpGet"), ("minimal", ("workers=2",), "httpGet")],
)
def test_kubelets_ask_in_a_way_that_they_can(values: str, given: tuple[str, ...], kind: str) -> None:
    assert kind in container(rendered(values, *given))["readinessProbe"]


def test_an_autoscaler_alone_decides_how_many_there_are() -> None:
    found = rendered("minimal", "autoscaling.enabled=true")
    assert "replicas" not in one(found, "Deployment")["spec"]
    assert one(found, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["kind"] == "Deployment"


def test_one_replica_has_no_budget_for_none_would_fit() -> None:
    found = rendered("minimal", "replicas=1")
    assert [x for x in found if x["kind"] == "PodDisruptionBudget"] == []
    assert {x.code for x in check(found)} == {"not_encrypted", "one_replica", "no_disruption_budget"}


def test_the_journal_stays_and_may_be_one_that_is_there() -> None:
    annotations = one(rendered("azure"), "PersistentVolumeClaim")["metadata"]["annotations"]
    assert annotations == {"helm.sh/resource-policy": "keep"}
    found = rendered("azure", 'journal.existingClaim="records"')
    assert [x for x in found if x["kind"] == "PersistentVolumeClaim"] == []
    volumes = one(found, "StatefulSet")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "sluicegate-journal", "persistentVolumeClaim": {"claimName": "records"}} in volumes


def test_one_replica_may_write_to_a_disk() -> None:
    found = rendered("azure", "replicas=1", 'journal.accessMode="ReadWriteOnce"')
    assert one(found, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "journal_not_shared" not in {x.code for x in check(found)}


@pytest.mark.parametrize(("port", "inside"), [(80, 10080), (443, 10443), (8080, 8080), (1024, 1024)])
def test_clients_reach_envoys_pods_where_these_listen(port: int, inside: int) -> None:
    found = rendered("minimal", f"config.listen.port={port}")
    (rule,) = one(found, "NetworkPolicy", "sluicegate-envoy")["spec"]["ingress"]
    assert rule == {"ports": [{"protocol": "TCP", "port": inside}]}


def test_authorities_of_ones_own_sign() -> None:
    issuer = '{"name":"mesh-ca","kind":"ClusterIssuer"}'
    found = rendered("azure", f"tls.certManager.issuer={issuer}")
    certificates = [x["spec"] for x in found if x["kind"] == "Certificate"]
    assert [x["issuerRef"] for x in certificates] == [
        {"name": "mesh-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    ] * 2
    assert [x for x in found if x["kind"] == "Issuer"] == []
    assert [x["usages"][1] for x in certificates] == ["server auth", "client auth"]


def test_the_names_in_certificates_are_those_that_are_asked_for() -> None:
    found = rendered("azure")
    tls = for_envoy(found)
    (expected,) = (x["spec"]["validation"]["hostname"] for x in tls if x["metadata"]["name"] == "sluicegate-policy")
    assert expected in one(found, "Certificate", "sluicegate-policy")["spec"]["dnsNames"]
    envoys = one(found, "Certificate", "sluicegate-envoy")["spec"]
    assert one(tls, "EnvoyProxy")["spec"]["backendTLS"]["clientCertificateRef"]["name"] == envoys["secretName"]
    assert f"client_names:\n    - {envoys['dnsNames'][0]}\n" in configuration(found)


def test_numbers_stay_numbers() -> None:
    text = configuration(rendered("minimal", "config.max_body_bytes=52428800", "config.timeouts.total=900"))
    assert "max_body_bytes: 52428800\n" in text
    assert "total: 900\n" in text


def jobs(found: list[Document]) -> set[Any]:
    monitors = [x for x in found if x["kind"] in ("ServiceMonitor", "PodMonitor")]
    ends = [end for x in monitors for end in (x["spec"].get("endpoints") or x["spec"]["podMetricsEndpoints"])]
    return {rule["replacement"] for end in ends for rule in end["relabelings"] if rule["targetLabel"] == "job"}


@pytest.mark.parametrize("values", ["minimal", "sidecar"])
def test_what_is_scraped_is_called_as_the_rules_call_it(values: str) -> None:
    found = rendered(values, "monitoring.enabled=true", 'monitoring.runbooks="https://git.example/"')
    assert jobs(found) == {"sluicegate", "sluicegate-envoy"}
    rules = [x for x in found if x["kind"] == "PrometheusRule"]
    links = [
        y["annotations"]["runbook_url"] for x in rules for g in x["spec"]["groups"] for y in g["rules"] if "alert" in y
    ]
    assert len(links) > 15
    assert all(link.startswith("https://git.example/docs/operations/runbooks/") for link in links)
    assert len([x for x in found if "grafana_dashboard" in x["metadata"]["labels"]]) == 5
