"""Reading YAML strictly: what a person reads in the file is what the program gets.

Refused, over what YAML 1.1 allows: keys that stand twice, keys that are no text, anchors and aliases (a few lines of them
make a tree of millions of nodes), merge keys, tags, and numbers that are not written as plain decimals (`010` is 8 there,
`1:30` is 90). Dates stay text: `api_version: 2024-10-21` is a name, no day.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_STRING_TAG: Final = "tag:yaml.org,2002:str"
_SURROGATE: Final = re.compile("[\\ud800-\\udfff]")
_NUMBER_TAGS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_DECIMAL: Final = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NO_DECIMAL: Final = (
    "expected a number as a plain decimal, without leading zeros, `0x`, `_` or `:`; in quotes if it is meant as text"
)
_MAPPING_TAG: Final = yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG
_REFUSED_TAGS: Final = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


class YamlError(ValueError):
    """The text is not strict YAML. The message says where, and quotes nothing but keys: the text may hold secrets."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, less what the module refuses."""

    any_number = False

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not accepted", event.start_mark)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise yaml.composer.ComposerError(None, None, f"tags are not accepted: {tag[:60]!r}", event.start_mark)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode):
            problem = _problem(node, any_number=self.any_number)
            if problem is not None:
                raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return node

    def unique_mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            problem = None
            if key_node.tag != _STRING_TAG:
                problem = "expected text as a key: put it in quotes"
            elif key == "<<":
                problem = "merge keys are not accepted"
            elif key in seen:
                problem = f"the key {key[:60]!r} stands twice"
            if problem is not None:
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return self.construct_mapping(node, deep=True)


class _LoaderOfAnyNumber(_Loader):
    """The same with every number that YAML 1.1 has."""

    any_number = True


_Loader.yaml_implicit_resolvers = _LoaderOfAnyNumber.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REFUSED_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _loader in (_Loader, _LoaderOfAnyNumber):
    _loader.add_constructor(_MAPPING_TAG, _loader.unique_mapping)


def _problem(node: yaml.ScalarNode, *, any_number: bool) -> str | None:
    if not node.value.isascii() and _SURROGATE.search(node.value):
        return "an escape that stands for no character"
    if not any_number and node.tag in _NUMBER_TAGS and not _DECIMAL.fullmatch(node.value):
        return _NO_DECIMAL
    return None


def read(text: str, *, any_number: bool = False) -> Any:
    """The one document in `text`.

    Args:
        any_number: numbers as YAML 1.1 has them are accepted: of a file that is another program's, such as a manifest of
            Kubernetes with `defaultMode: 0440`.

    Raises:
        YamlError: not YAML, or not strict.
    """
    try:
        return yaml.load(text, Loader=_LoaderOfAnyNumber if any_number else _Loader)  # noqa: S506  (SafeLoaders)
    except yaml.MarkedYAMLError as error:
        raise YamlError(_located(error)) from None
    except yaml.YAMLError as error:
        raise YamlError(f"not YAML: {getattr(error, 'reason', 'unreadable')}") from None
    except RecursionError:
        raise YamlError("nested too deeply") from None
    except ValueError:
        # A number without digits, or with thousands of them.
        raise YamlError("holds a number that cannot be read") from None


def lines(text: str) -> dict[str, int]:
    """The line (from 1) of every key and list item, by its path (`policies[1].settings`); nothing if it is no YAML."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    found: dict[str, int] = {}
    waiting = [("", node)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = f"{path}.{key.value}" if path else str(key.value)
                found[here] = key.start_mark.line + 1
                waiting.append((here, value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[f"{path}[{index}]"] = value.start_mark.line + 1
                waiting.append((f"{path}[{index}]", value))
    return found


def _located(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + (error.problem or error.context or "not YAML")
