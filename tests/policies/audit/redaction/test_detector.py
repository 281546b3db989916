from __future__ import annotations

import pytest

from policies.audit.redaction.detector import Detector, merged
from policies.audit.redaction.kinds import Finding, Kind

TEXT = (
    "a@example.com, 4111111111111111, DE89370400440532013000, 523-45-6789, +4917012345678; password=hunter2, EMP-123456"
)


@pytest.mark.parametrize("kind", list(Kind))
def test_one_class_alone(kind: Kind) -> None:
    assert [found.kind for found in Detector([kind], {}).find(TEXT)] == [kind]


@pytest.mark.parametrize("kind", list(Kind))
def test_all_but_one(kind: Kind) -> None:
    found = {each.kind for each in Detector(set(Kind) - {kind}, {}).find(TEXT)}
    assert found == set(Kind) - {kind}


def test_own_patterns_come_first() -> None:
    found = Detector(Kind, {"staff": "EMP-[0-9]{6}", "whole": "password=[a-z0-9]{1,20}"}).find(TEXT)
    assert [each.kind for each in found if each.value[0] in "Ep"] == ["whole", "staff"]


def test_overlapping_findings_become_one() -> None:
    first, second = Finding(0, 5, Kind.PHONE, "1"), Finding(3, 9, Kind.CARD, "2")
    assert merged([second, first]) == [Finding(0, 9, Kind.CARD, "2")]
    assert merged([first, Finding(5, 9, Kind.CARD, "2")]) == [first, Finding(5, 9, Kind.CARD, "2")]


def test_the_decoded_form_is_what_is_hashed() -> None:
    detector = Detector(Kind, {})
    for text in ("john+x@example.com", "john%2Bx@example.com", "john\\u002bx@example.com"):
        (found,) = detector.find(text)
        assert found.value == "john+x@example.com"
        assert (found.start, found.end) == (0, len(text))


def test_nothing_begins_inside_of_a_label() -> None:
    assert Detector(Kind, {"hex": "[0-9a-f]{8}"}).find("[secret:deadbeef]! [email:12345678]") == []


def test_the_host_of_a_url_with_a_password_stays() -> None:
    (found,) = Detector(Kind, {}).find("postgres://u:p4ss@db.example.com/x")
    assert (found.kind, found.value) == (Kind.SECRET, "p4ss")
