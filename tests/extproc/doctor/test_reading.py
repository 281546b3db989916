"""What was given is told apart by its form; what is nothing of the kind gets a clear error."""

from __future__ import annotations

import json

import pytest
import yaml

from extproc.ai_gateway.writing import written
from extproc.doctor import reading
from extproc.doctor.reading import Kind, report
from extproc.doctor.tree import UnreadableError
from tests.extproc.doctor import recorded
from tests.extproc.doctor.broken import documents, plain


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (json.dumps(recorded.dump()), Kind.DUMP),
        (json.dumps({"ns": {"pod": {"configDump": recorded.dump()}}}), Kind.DUMP),
        (json.dumps(plain()), Kind.BOOTSTRAP),
        (yaml.safe_dump(plain()), Kind.BOOTSTRAP),
        (yaml.safe_dump_all(documents()), Kind.DOCUMENTS),
        (f"# ours\n---\n{written(documents(), standalone=True)}\n---\n", Kind.DOCUMENTS),
    ],
    ids=["dump", "egctl", "bootstrap", "bootstrap in YAML", "documents", "documents for aigw"],
)
def test_each_kind_is_known_by_its_form(text: str, kind: Kind) -> None:
    found = report(text)
    assert (found.kind, found.findings) == (kind, [])


def test_numbers_of_kubernetes_are_as_kubernetes_has_them() -> None:
    found = report(
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\nmode: 0440\n---\n{written(documents(), standalone=True)}"
    )
    assert (found.kind, found.findings) == (Kind.DOCUMENTS, [])


def test_who_runs_says_its_version() -> None:
    found = report(json.dumps(recorded.dump()), server_info='{"version": "a/1.37.2/b"}')
    assert [finding.code for finding in found.findings] == ["version_untested"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        (json.dumps(recorded.dump())[:5000], "cut off"),
        ("{" * 200_000, "no JSON|nested too deeply"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON|neither"),
        ("{}", "neither"),
        ("[]", "neither"),
        ("null", "neither"),
        ("just words", "neither"),
        ('{"configs": {}}', "neither"),
        ('{"configs": []}', "no listeners"),
        ('{"configs": [1]}', r"configs\[0\]: expected a mapping, found a number"),
        ('{"configs": [{"@type": 1}]}', "@type: expected a string"),
        ("a: &a [x]\nb: *a", "anchors"),
        ("a: [", "line 1"),
        ("- " * 5000, "nested too deeply|line"),
        ("kind: Gateway\napiVersion: v1\n---\na: !!python/object:os.system x", "tags are not accepted"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        report(text)


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(UnreadableError, match="larger than"):
        report("{" + " " * 1000 + "}")
