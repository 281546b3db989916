from __future__ import annotations

from pathlib import Path

import pytest

from extproc.spending import Question, SpendingError
from policies.cost.reporting.asking import answers
from tests.policies.cost.reporting.spendings import END, START, Told, row

HERE = Path("gateway.yaml")


def test_every_question_is_answered_in_its_order() -> None:
    host = Told({("tenant",): [row({"tenant": "a"}, 1), row({"tenant": "b"}, 2)], (): [row({}, 3)]})
    questions = [Question((), START, END), Question(("tenant",), START, END), Question(("user",), START, END)]
    assert [[one.dollars for one in rows] for rows in answers(host, HERE, *questions, state=HERE)] == [[3], [1, 2], []]
    assert host.asked == questions


def test_what_cannot_be_told() -> None:
    with pytest.raises(SpendingError, match="there is no ledger"):
        answers(Told(silent=True), HERE, Question((), START, END), state=HERE)
