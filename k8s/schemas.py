"""JSON Schemas for kubeconform, from files alone: `python -m k8s.schemas FOLDER WHEEL CRD ...`.

Kubernetes' own come from the Python package `kubernetes-validate`, those of other kinds from their definitions.
kubeconform finds them as `FOLDER/KIND-GROUP-VERSION.json` and `FOLDER/vX.Y.0/…`, all in small letters.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

VERSIONS: Final = ("1.30", "1.33", "1.37")
"""Of Kubernetes: the oldest that the chart is for, one between, and the newest that is known."""
_REFERENCE: Final = "#/$defs/"
"""What follows this is one of the definitions that the package's files share. kubeconform follows no references to other
files."""


def of_definition(definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the file and schema of each version that a CustomResourceDefinition serves."""
    spec = definition["spec"]
    group = str(spec["group"]).partition(".")[0]
    for version in spec["versions"]:
        if version.get("served"):
            name = f"{spec['names']['kind']}-{group}-{version['name']}.json".lower()
            yield name, strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any, *, root: bool = True) -> Any:
    """A schema that takes no member it does not name, as an API server drops or refuses it.

    `root`: of a document, whose `metadata` is Kubernetes' own and is not described.
    """
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _inside(key, value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        # Some say the type as well, and mean one of both.
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not open_ended:
        made["additionalProperties"] = False
    if root:
        made.setdefault("properties", {})["metadata"] = {"type": "object"}
    return made


def _inside(key: str, value: Any) -> Any:
    match key, value:
        case ("properties", dict()):
            return {name: strict(one, root=False) for name, one in value.items()}
        case (("items" | "additionalProperties"), dict()):
            return strict(value, root=False)
    # What stands in `allOf`, `anyOf`, `oneOf` and `not` says something of members that are described outside.
    return value


def own(wheel: Path, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the file and schema of each kind of this version of Kubernetes, by the package."""
    with zipfile.ZipFile(wheel) as package:
        prefix = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"
        shared = json.loads(package.read(f"{prefix}_definitions.json"))["$defs"]
        for name in package.namelist():
            if name.startswith(prefix) and name.endswith(".json"):
                schema = json.loads(package.read(name))
                if "kind" in schema.get("properties", {}):
                    yield name.removeprefix(prefix), whole(schema, shared)


def whole(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that holds what it refers to."""
    needed: dict[str, Any] = {}
    waiting: list[str] = []
    # With a name of its own it would be looked for by that name.
    made = _led_inside({key: value for key, value in schema.items() if key != "$id"}, waiting)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _led_inside(shared[name], waiting)
    return {**made, "$defs": needed}


def _led_inside(tree: Any, found: list[str]) -> Any:
    """The tree, whose references lead into the document itself. Adds what they name to `found`."""
    if isinstance(tree, Mapping):
        reference = tree.get("$ref")
        if isinstance(reference, str) and _REFERENCE in reference:
            found.append(name := reference.partition(_REFERENCE)[2])
            return {"$ref": f"{_REFERENCE}{name}"}
        return {key: _led_inside(value, found) for key, value in tree.items()}
    return [_led_inside(value, found) for value in tree] if isinstance(tree, list) else tree


def write(folder: Path, wheel: Path, definitions: Sequence[Path]) -> None:
    """Write all of them."""
    for version in VERSIONS:
        target = folder / f"v{version}.0"
        target.mkdir(parents=True, exist_ok=True)
        for name, schema in own(wheel, version):
            (target / name).write_text(json.dumps(schema), "utf-8")
    for path in definitions:
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            if isinstance(document, Mapping) and document.get("kind") == "CustomResourceDefinition":
                for name, schema in of_definition(document):
                    (folder / name).write_text(json.dumps(schema), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
