"""From settings to a chain: what is wrong with a policy is said with its place in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import Annotated, Any, cast

import pytest
from pydantic import Field, SecretStr

from extproc import assembly
from extproc.assembly import assemble, configuration_schema, examine, installed_policies, response_fields
from extproc.call import Call, Payload
from extproc.catalogue import Target
from extproc.chain import Chain
from extproc.identity import Identity
from extproc.mistakes import ConfigurationError
from extproc.policy import FailureMode, Policy, PolicySettings, Surroundings
from extproc.settings import Settings, parse


class QuietSettings(PolicySettings):
    limit: Annotated[int, Field(ge=1)] = 1
    client_secret: SecretStr | None = None


class Quiet(Policy):
    """A policy that can be built in every way that fails."""

    name = "quiet"
    Settings = QuietSettings
    failure: Exception | None = None

    def __init__(self, settings: QuietSettings, surroundings: Surroundings) -> None:
        self.settings = settings
        self.surroundings = surroundings

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> Policy:
        if cls.failure is not None:
            raise cls.failure
        return cls(settings, surroundings)


class Strict(Quiet):
    name = "strict"
    may_fail_open = False


class Needy(Quiet):
    name = "needy"
    requires = (Identity, Call, Payload, Target)


class Giving(Quiet):
    name = "giving"
    provides = (Identity,)
    response_fields = ("x-left", "x-warning")


class Bold(Quiet):
    """Would write over the verdict."""

    name = "bold"
    response_fields = ("x-left", "verdict")


class Impostor(Quiet):
    """Its fact has the name of one of the host's."""

    name = "impostor"
    provides = (type("Identity", (), {}),)


class Fails(Quiet):
    name = "fails"


class Unbuilt(Policy):
    name = "unbuilt"


class Nameless(Policy):
    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> Policy:
        return cls()


def not_a_class() -> None:
    """What an entry point may name by mistake."""


CLASSES = {
    "quiet": "Quiet",
    "strict": "Strict",
    "needy": "Needy",
    "giving": "Giving",
    "bold": "Bold",
    "impostor": "Impostor",
    "fails": "Fails",
    "unbuilt": "Unbuilt",
    "nameless": "Nameless",
    "function": "not_a_class",
    "settings": "QuietSettings",
    "missing": "Missing",
}
POINTS = [
    *(EntryPoint(name, f"{__name__}:{value}", assembly.GROUP) for name, value in CLASSES.items()),
    EntryPoint("nowhere", "no_such_module:Policy", assembly.GROUP),
    EntryPoint("twice", f"{__name__}:Quiet", assembly.GROUP),
    EntryPoint("twice", f"{__name__}:Strict", assembly.GROUP),
    EntryPoint("same", f"{__name__}:Quiet", assembly.GROUP),
    EntryPoint("same", f"{__name__}:Quiet", assembly.GROUP),
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(*, group: str) -> Iterable[EntryPoint]:
        assert group == "sluicegate.policies"
        return POINTS

    monkeypatch.setattr(assembly, "entry_points", points)


def mistakes(*entries: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        assemble(parse({"policies": list(entries)}))
    return caught.value.mistakes


@pytest.mark.usefixtures("installed")
def test_a_chain() -> None:
    entries = [
        {"policy": "giving", "failure": "open"},
        {"policy": "needy", "shadow": True, "settings": {"limit": 3}},
        {"policy": "strict"},
        {"policy": "same"},
    ]
    chain = assemble(parse({"policies": entries, "server": {"decision_timeout": 2.5}}), clock=lambda: 7.0)
    assert [(link.policy.name, link.failure, link.shadow) for link in chain.links] == [
        ("giving", FailureMode.OPEN, False),
        ("needy", FailureMode.CLOSED, True),
        ("strict", FailureMode.CLOSED, False),
        ("quiet", FailureMode.CLOSED, False),
    ]
    needy = chain.links[1].policy
    assert isinstance(needy, Needy)
    assert needy.settings.limit == 3
    assert needy.surroundings.clock() == 7.0


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("make", [assemble, lambda settings: examine(settings.model_dump(mode="json")).chain])
def test_what_a_policy_is_told_of_where_it_stands(make: Callable[[Settings], Chain]) -> None:
    tree = {
        "upstreams": [{"name": "up", "provider": "openai", "url": "http://host/v1", "models": ["m"]}],
        "policies": [{"policy": "giving"}, {"policy": "needy", "shadow": True}],
        "server": {"workers": 3, "decision_timeout": 2.5},
        "timeouts": {"total": 600},
    }
    told = [cast("Quiet", link.policy).surroundings for link in make(parse(tree)).links]
    assert [(one.workers, one.shadow, one.longest) for one in told] == [(3, False, 607.5), (3, True, 607.5)]
    assert [one.catalogue for one in told] == [parse(tree).catalogue()] * 2


@pytest.mark.usefixtures("installed")
def test_what_is_told_of_the_defaults_is_what_is_told_by_default() -> None:
    chain = assemble(parse({"policies": [{"policy": "quiet"}]}))
    (link,) = chain.links
    told = cast("Quiet", link.policy).surroundings
    assert len(told.configuration) == 64
    assert told.metrics is chain.metrics
    plain = Surroundings(
        told.catalogue,
        told.clock,
        recorder=told.recorder,
        metrics=told.metrics,
        configuration=told.configuration,
    )
    assert told == plain
    assert (plain.workers, plain.shadow, plain.longest) == (1, False, 190.0)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"policy": "absent"}, "policies[0].policy: no policy 'absent' is installed (installed: bold, fails, function, "),
        ({"policy": "function"}, f"policies[0].policy: {__name__}:not_a_class is not a Policy"),
        ({"policy": "settings"}, f"policies[0].policy: {__name__}:QuietSettings is not a Policy"),
        ({"policy": "nameless"}, f"policies[0].policy: {__name__}:Nameless has no name"),
        ({"policy": "missing"}, "policies[0].policy: missing cannot be loaded: AttributeError"),
        ({"policy": "nowhere"}, "policies[0].policy: nowhere cannot be loaded: ModuleNotFoundError"),
        ({"policy": "twice"}, "policies[0].policy: twice is provided more than once"),
        ({"policy": "unbuilt"}, "policies[0]: unbuilt cannot be built: NotImplementedError"),
        ({"policy": "quiet", "settings": {"limit": 0}}, "policies[0].settings.limit: expected at least 1"),
        ({"policy": "quiet", "settings": {"limits": 1}}, "policies[0].settings.limits: unknown key"),
        ({"policy": "strict", "failure": "open"}, "policies[0]: strict cannot be `failure: open` or `shadow: true`"),
        ({"policy": "strict", "shadow": True}, "policies[0]: strict cannot be `failure: open` or `shadow: true`"),
        ({"policy": "bold"}, "policies[0]: bold declares a response field that no policy may add: verdict"),
        ({"policy": "needy"}, "policies: needy needs Identity, which no policy before it provides"),
    ],
)
def test_mistakes(entry: dict[str, Any], line: str) -> None:
    (found,) = mistakes(entry)
    assert found.startswith(line)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (ValueError("roles: one\nlimit: two"), ["policies[0].settings: roles: one", "policies[0].settings.limit: two"]),
        (ValueError("limit.x[1]: one"), ["policies[0].settings.limit.x[1]: one"]),
        (ValueError(), ["policies[0].settings: cannot be used"]),
        (ValueError(""), ["policies[0].settings: cannot be used"]),
        (KeyError("x"), ["policies[0]: fails cannot be built: KeyError: 'x'"]),
        (OSError("disk"), ["policies[0]: fails cannot be built: OSError: disk"]),
    ],
)
def test_a_policy_that_cannot_be_built_is_never_left_out(
    failure: Exception, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fails, "failure", failure)
    assert mistakes({"policy": "fails"}) == lines


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("policies", "names"),
    [
        (["quiet"], ()),
        (["giving"], ("x-left", "x-warning")),
        (["bold", "absent", "nowhere", "giving", "function"], ("x-left", "x-warning")),
    ],
)
def test_what_the_configured_policies_may_tell(policies: list[str], names: tuple[str, ...]) -> None:
    assert response_fields(parse({"policies": [{"policy": name} for name in policies]})) == names


@pytest.mark.usefixtures("installed")
def test_all_mistakes_at_once() -> None:
    found = mistakes({"policy": "absent"}, {"policy": "quiet", "settings": {"limit": 0, "x": 1}}, {"policy": "needy"})
    assert [line.partition(":")[0] for line in found] == [
        "policies[0].policy",
        "policies[1].settings.limit",
        "policies[1].settings.x",
    ]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("others", [(), ({"policy": "giving"},)])
def test_two_kinds_of_fact_of_one_name_would_be_mistaken_for_each_other(others: tuple[dict[str, Any], ...]) -> None:
    found = mistakes(*others, {"policy": "impostor"})
    assert found == ["policies: two kinds of fact are called Identity: one would be read as the other"]


@pytest.mark.usefixtures("installed")
def test_a_secret_is_not_repeated() -> None:
    (found,) = mistakes({"policy": "quiet", "settings": {"client_secret": 12345678}})
    assert "12345678" not in found


def test_our_own_policies_are_installed_and_may_not_fail_open() -> None:
    points = installed_policies()
    for name in ("entra", "access"):
        loaded = points[name].load()
        assert loaded.name == name
        assert loaded.may_fail_open is False
        for how in ({"failure": "open"}, {"shadow": True}):
            assert f"policies[0]: {name} cannot be `failure: open` or `shadow: true`" in mistakes({"policy": name, **how})


def test_the_schema_knows_the_settings_of_every_policy() -> None:
    schema = configuration_schema()
    assert schema["$schema"].startswith("https://json-schema.org/draft/2020-12")
    cases = {
        case["if"]["properties"]["policy"]["const"]: case["then"] for case in schema["$defs"]["PolicyEntry"]["allOf"]
    }
    assert {"entra", "access"} <= set(cases)
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def test_every_pattern_has_words_for_it() -> None:
    found = list(patterns(configuration_schema()))
    assert len(found) > 10
    assert [node for node in found if not (node.get("x-expected") or node.get("description"))] == []


def patterns(tree: Any) -> Iterable[dict[str, Any]]:
    if isinstance(tree, dict):
        if isinstance(tree.get("pattern"), str):
            yield tree
        for value in tree.values():
            yield from patterns(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from patterns(value)


def references(tree: Any) -> Iterable[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        for value in tree.values():
            yield from references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)
