"""Mistakes in a configuration, in words for the person who wrote it: a path, what was expected, what stood there.

Words come from the models' own JSON schema. A field with a pattern says in its description, or in `x-expected` of its
`json_schema_extra`, what the pattern means; a section may say there how it is written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_SECRET_PATH: Final = re.compile(r"credential|secret|password|token|(?:^|[._])key", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"//[^/]*@")
_OTHER_WORDS: Final[Mapping[str, str]] = {
    "api_base": "url",
    "api_key": "credential",
    "base_url": "url",
    "deployment": "target",
    "deployment_name": "target",
    "endpoint": "url",
    "key": "credential",
    "model": "models",
    "type": "provider",
}
"""What other tools call our keys."""
_LIMITS: Final[Mapping[str, str]] = {
    "greater_than_equal": "expected at least {ge:.15g}",
    "greater_than": "expected more than {gt:.15g}",
    "less_than_equal": "expected at most {le:.15g}",
    "less_than": "expected less than {lt:.15g}",
    "too_short": "expected at least {min_length} entry",
    "string_too_short": "expected at least {min_length} character",
    "string_too_long": "expected at most {max_length} characters",
}
_KINDS: Final = (
    (("missing",), "missing"),
    (("tuple", "list", "set", "frozen_set"), "expected a list"),
    (("dict", "mapping", "model"), "expected a mapping"),
    (("int",), "expected a whole number"),
    (("float", "decimal"), "expected a number"),
    (("finite_number",), "expected a number"),
    (("bool",), "expected true or false"),
    (("string",), "expected text"),
)


class ConfigurationError(ValueError):
    """The configuration is not usable. `mistakes` are lines of `path: what is wrong`, for people.

    `more`: something could not be looked at because of these, and may be wrong as well.
    """

    def __init__(self, mistakes: list[str], *, more: bool = False) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
        self.more = more


def describe(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """One line for each mistake: its path, what was expected, and what stood there (shortened).

    What stands where a secret or a reference to one belongs is not repeated: it may be the secret itself.
    """
    schema = model.model_json_schema()
    details = error.errors()
    lines = []
    for detail in details:
        if detail["type"] == "too_short" and any(_below(other["loc"], detail["loc"]) for other in details):
            # Pydantic counts what is right, so it says that a list is too short where an item of it is wrong.
            continue
        path = join(prefix, [part for part in detail["loc"] if part != "[key]"])
        message = _message(detail, schema)
        if detail["type"] not in ("missing", "extra_forbidden") and isinstance(detail["input"], str | int | float | bool):
            found = _USER_INFO.sub("//…@", str(detail["input"]))[:60]
            message += "" if _SECRET_PATH.search(path) else f" (found {found!r})"
        lines.append(f"{path or 'configuration'}: {message}")
    return lines


def join(prefix: str, location: Iterable[int | str]) -> str:
    """A path as it is written in messages: `policies[1].settings.roles.User`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return (prefix + "".join(parts)).lstrip(".")


def hint(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` for a misspelt name, or nothing."""
    known = list(known)
    other = _OTHER_WORDS.get(name.lower())
    close = [other] if other in known else difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _message(detail: ErrorDetails, schema: Mapping[str, Any]) -> str:
    kind, location, context = detail["type"], detail["loc"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        section = _at(schema, location[:-1])
        return "unknown key" + hint(str(location[-1]), [key for node in section for key in node.get("properties", ())])
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind in ("literal_error", "enum"):
        return "expected " + re.sub(r"'([\w.-]+)'", r"\1", str(context["expected"]))
    if kind in _LIMITS:
        return _LIMITS[kind].format_map(context)
    nodes = _at(schema, location)
    if kind == "string_pattern_mismatch":
        return f"expected {_expected(nodes) or _described(nodes) or 'another form of text'}"
    word = kind.removesuffix("_type").partition("_parsing")[0].partition("_from_")[0]
    known = next((words for kinds, words in _KINDS if word in kinds), None)
    if known in {"expected a mapping", "expected a list"}:
        keys = [key for node in nodes for key in node.get("properties", ())]
        own = _expected(nodes) or (f"a mapping with the keys {', '.join(keys)}" if keys else None)
        return f"expected {own}" if own else known
    return known or re.sub(r"^Input should be ", "expected ", detail["msg"])


def _expected(nodes: Iterable[Mapping[str, Any]]) -> str | None:
    return next((node["x-expected"] for node in nodes if "x-expected" in node), None)


def _described(nodes: Iterable[Mapping[str, Any]]) -> str | None:
    return next((node["description"] for node in nodes if "description" in node), None)


def _at(schema: Mapping[str, Any], location: Sequence[int | str]) -> list[Mapping[str, Any]]:
    """The parts of the schema that speak of this place."""
    nodes = list(_alternatives(schema, schema))
    for part in location:
        nodes = [node for parent in nodes for child in _children(parent, part) for node in _alternatives(child, schema)]
    return nodes


def _alternatives(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    if "$ref" in node:
        yield from _alternatives(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for word in ("anyOf", "oneOf", "allOf"):
        for child in node.get(word, ()):
            yield from _alternatives(child, schema)


def _children(node: Mapping[str, Any], part: int | str) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, int):
        candidates = [node.get("items")]
    elif part in node.get("properties", {}):
        candidates = [node["properties"][part]]
    else:
        candidates = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
    yield from (candidate for candidate in candidates if isinstance(candidate, Mapping))


def _below(path: tuple[int | str, ...], section: tuple[int | str, ...]) -> bool:
    return len(path) > len(section) and path[: len(section)] == section
