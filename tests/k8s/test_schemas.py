"""Schemas that kubeconform can use, from definitions of kinds and from the package that carries Kubernetes' own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import yaml

from k8s.schemas import VERSIONS, of_definition, own, strict, whole, write

WIDGET = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "patch": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "rules": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
            },
        }
    },
}
DEFINITION = {
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "things.example.io",
        "names": {"kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "schema": {"openAPIV3Schema": WIDGET}},
            {"name": "v1beta1", "served": False, "schema": {"openAPIV3Schema": WIDGET}},
        ],
    },
}


def test_versions_that_are_served_have_a_file_each() -> None:
    assert [name for name, _ in of_definition(DEFINITION)] == ["widget-things-v1.json"]


def test_members_that_are_not_named_are_refused_where_some_are() -> None:
    made = strict(WIDGET)
    spec = made["properties"]["spec"]
    assert made["additionalProperties"] is False
    assert spec["additionalProperties"] is False
    assert spec["properties"]["rules"]["items"]["additionalProperties"] is False
    assert spec["properties"]["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert "additionalProperties" not in spec["properties"]["patch"]
    assert spec["properties"]["port"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert made["properties"]["metadata"] == {"type": "object"}


def test_a_schema_holds_what_it_refers_to_and_no_more() -> None:
    shared = {
        "io.Meta": {"properties": {"time": {"$ref": "#/$defs/io.Time"}}},
        "io.Time": {"type": "string"},
        "io.Loop": {"properties": {"self": {"$ref": "#/$defs/io.Loop"}}},
        "io.Other": {},
    }
    schema = {
        "$id": "https://example",
        "properties": {"metadata": {"$ref": "/api/_definitions.json#/$defs/io.Meta"}},
        "allOf": [{"$ref": "/api/_definitions.json#/$defs/io.Loop"}],
    }
    made = whole(schema, shared)
    assert set(made["$defs"]) == {"io.Meta", "io.Time", "io.Loop"}
    assert made["properties"]["metadata"] == {"$ref": "#/$defs/io.Meta"}
    assert "$id" not in made


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as package:
        for version in VERSIONS:
            prefix = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
            package.writestr(f"{prefix}/_definitions.json", json.dumps({"$defs": {}}))
            package.writestr(f"{prefix}/pod-v1.json", json.dumps({"properties": {"kind": {}}}))
            package.writestr(f"{prefix}/podspec-v1.json", json.dumps({"properties": {"containers": {}}}))
    return path


def test_only_kinds_are_taken_from_the_package(wheel: Path) -> None:
    assert [name for name, _ in own(wheel, VERSIONS[0])] == ["pod-v1.json"]


def test_files_are_where_kubeconform_looks(wheel: Path, tmp_path: Path) -> None:
    definitions = tmp_path / "crds.yaml"
    definitions.write_text(yaml.safe_dump_all([DEFINITION, {"kind": "ConfigMap"}, None]))
    write(tmp_path / "schemas", wheel, [definitions])
    held = {str(path.relative_to(tmp_path / "schemas")) for path in (tmp_path / "schemas").rglob("*.json")}
    assert held == {"widget-things-v1.json", *(f"v{version}.0/pod-v1.json" for version in VERSIONS)}
