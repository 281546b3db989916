"""What may not change may not: an upgrade that touches it is refused by Kubernetes, halfway."""

from __future__ import annotations

from typing import Any

import pytest

from tests.k8s.manifests import Document, documents, one, rendered, template

CHANGES = (
    ("production", ('image.tag="0.2.0"',)),
    ("production", ("workers=4",)),
    ("production", ("config.server.grace=60", "autoscaling.enabled=false", "replicas=5")),
    ("production", ('tls.mode="none"', 'podLabels={"team":"x"}')),
    ("minimal", ('image.tag="0.2.0"', 'podAnnotations={"a":"b"}')),
    ("minimal", ("autoscaling.enabled=true",)),
)


def fixed(found: list[Document]) -> dict[str, Any]:
    """The members that cannot be changed in what is there."""
    (workload,) = (x for x in found if x["kind"] in ("Deployment", "StatefulSet"))
    members = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    claims = [x["spec"] for x in found if x["kind"] == "PersistentVolumeClaim"]
    return {
        "name": (workload["kind"], workload["metadata"]["name"]),
        **{key: workload["spec"].get(key) for key in members},
        "claims": claims,
        "headless": [x["spec"].get("clusterIP") for x in found if x["kind"] == "Service"],
    }


@pytest.mark.parametrize(("values", "given"), CHANGES)
def test_an_upgrade_changes_nothing_that_cannot_be(values: str, given: tuple[str, ...]) -> None:
    assert fixed(rendered(values)) == fixed(rendered(values, *given))


def test_an_upgrade_makes_what_an_installation_makes() -> None:
    assert documents(template("production", upgrade=True)) == rendered("production")


def test_pods_are_told_apart_by_release() -> None:
    first = one(documents(template("minimal")), "Deployment")["spec"]["selector"]["matchLabels"]
    second = one(documents(template("minimal", release="other")), "Deployment")["spec"]["selector"]["matchLabels"]
    assert first != second


def test_the_selector_holds_nothing_of_a_version() -> None:
    found = one(rendered("minimal"), "Deployment")["spec"]
    labels = found["template"]["metadata"]["labels"]
    assert found["selector"]["matchLabels"].items() <= labels.items()
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(found["selector"]["matchLabels"])
