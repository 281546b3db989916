from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from extproc.mistakes import describe, hint, join
from extproc.secret import Secret


def _never(value: str) -> str:
    raise ValueError("never right")


class Part(BaseModel):
    """A section."""

    model_config = ConfigDict(extra="forbid")

    word: Annotated[str, Field(pattern="^[a-z]+$", description="lower-case letters")] = "x"
    either: Literal["one", "two"] = "one"
    odd: Annotated[str, Field(pattern="^[a-z]+$")] = "x"


class Short(BaseModel):
    """A section that says how it is written."""

    model_config = ConfigDict(json_schema_extra={"x-expected": "a word, or {name: …}"})

    name: str


class Example(BaseModel):
    """Settings of a policy."""

    model_config = ConfigDict(extra="forbid")

    count: int = 0
    client_secret: int = 0
    names: list[int] = []
    parts: dict[str, Part] = {}
    part: Part | None = None
    short: Short | None = None
    secret: Secret | None = None
    never: Annotated[str, AfterValidator(_never)] = ""
    size: Annotated[int, Field(gt=0, lt=5)] = 1
    text: Annotated[str, Field(min_length=1, max_length=3)] = "x"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": "x" * 100}, f"x.settings.count: expected a whole number (found {'x' * 60!r})"),
        ({"count": 1.5}, "x.settings.count: expected a whole number (found '1.5')"),
        ({"names": [1, "b"]}, "x.settings.names[1]: expected a whole number (found 'b')"),
        ({"names": 7}, "x.settings.names: expected a list (found '7')"),
        ({"client_secret": "hunter2"}, "x.settings.client_secret: expected a whole number"),
        ({"secret": "hunter2"}, "x.settings.secret: expected {env: NAME} or {file: PATH}, never the secret itself"),
        ({"secret": {"env": "no name"}}, "x.settings.secret.env: expected the name of an environment variable"),
        ({"parts": []}, "x.settings.parts: expected a mapping"),
        ({"part": []}, "x.settings.part: expected a mapping with the keys word, either, odd"),
        ({"parts": {"a": 1}}, "x.settings.parts.a: expected a mapping with the keys word, either, odd (found '1')"),
        ({"parts": {"a": {"word": "A"}}}, "x.settings.parts.a.word: expected lower-case letters (found 'A')"),
        ({"parts": {"a": {"odd": "A"}}}, "x.settings.parts.a.odd: expected another form of text (found 'A')"),
        ({"parts": {"a": {"either": "three"}}}, "x.settings.parts.a.either: expected one or two (found 'three')"),
        ({"parts": {"a": {"wrod": "x"}}}, "x.settings.parts.a.wrod: unknown key (did you mean 'word'?)"),
        ({"part": {"counts": 1}}, "x.settings.part.counts: unknown key"),
        ({"counts": 1}, "x.settings.counts: unknown key (did you mean 'count'?)"),
        ({"short": "a"}, "x.settings.short: expected a word, or {name: …} (found 'a')"),
        ({"short": {}}, "x.settings.short.name: missing"),
        ({"short": {"name": 1}}, "x.settings.short.name: expected text (found '1')"),
        ({"never": "a"}, "x.settings.never: never right (found 'a')"),
        ({"size": 0}, "x.settings.size: expected more than 0 (found '0')"),
        ({"size": 9}, "x.settings.size: expected less than 5 (found '9')"),
        ({"text": ""}, "x.settings.text: expected at least 1 character (found '')"),
        ({"text": "long"}, "x.settings.text: expected at most 3 characters (found 'long')"),
    ],
)
def test_describe(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(given)
    (described,) = describe(caught.value, Example, "x.settings")
    assert described == line
    assert "hunter2" not in described


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("roels", ["roles", "groups"], " (did you mean 'roles'?)"),
        ("deployment", ["name", "target"], " (did you mean 'target'?)"),
        ("deployment", ["deployments", "x"], " (did you mean 'deployments'?)"),
        ("zzz", ["roles"], ""),
        ("x", [], ""),
    ],
)
def test_hints(name: str, known: list[str], expected: str) -> None:
    assert hint(name, known) == expected


def test_paths() -> None:
    assert join("", ["policies", 1, "settings", "a"]) == "policies[1].settings.a"
    assert join("policies[1].settings", []) == "policies[1].settings"
