"""What is drawn is what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from k8s.observability.boards import BOARDS
from k8s.observability.drawing import Line, colour, draw, legend
from tests.observability.questions import dashboards, filled


class Answers:
    """Whoever is asked says the same; `asked` is what they were asked."""

    def __init__(self, value: float = 42.0, rows: int = 2) -> None:
        self.asked: list[str] = []
        self._value = value
        self._rows = rows

    def lines(self, expression: str) -> Sequence[Line]:
        self.asked.append(filled(expression))
        return [Line({"model": "m"}, [(0.0, float("nan")), (1.0, 1.0), (2.0, self._value)])][: self._rows]

    def now(self, expression: str) -> Sequence[Line]:
        self.asked.append(filled(expression))
        return [Line({"model": f"m{index}"}, [(2.0, self._value + index)]) for index in range(self._rows)]

    def rows(self, statement: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        self.asked.append(filled(statement))
        return ["tenant", "dollars"], [["contoso", None]] * self._rows


def texts(figure: Figure) -> list[str]:
    found: list[Any] = figure.findobj(Text)
    return [text.get_text() for text in found]


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_is_drawn_and_every_question_asked(name: str, tmp_path: Path) -> None:
    board, answers = dashboards()[name], Answers()
    figure = draw(board, answers)
    figure.savefig(tmp_path / "board.png")
    drawn = texts(figure)
    for panel in board["panels"]:
        assert any(panel["title"] in text for text in drawn), panel["title"]
    questions = [target for panel in board["panels"] for target in panel.get("targets") or ()]
    assert len(answers.asked) == len(questions)


def test_where_nothing_was_answered_it_says_so() -> None:
    drawn = texts(draw(dashboards()["platform"], Answers(rows=0)))
    shown = [panel for panel in dashboards()["platform"]["panels"] if panel["type"] in ("timeseries", "table")]
    assert drawn.count("no data") == len(shown)
    assert "-" in drawn


def test_figures_have_their_unit() -> None:
    assert "42 req/s" in texts(draw(dashboards()["platform"], Answers()))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("{{model}} x {{gone}}", "m x "), ("", "model=m, role=r"), ("p95", "p95")],
)
def test_what_a_series_is_called(pattern: str, expected: str) -> None:
    assert legend(pattern, {"__name__": "x", "role": "r", "model": "m"}) == expected


def test_a_level_has_its_colour() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 2, "color": "#EAB839"}, {"value": 5, "color": "red"}]
    assert [colour(value, {"steps": steps}) for value in (1, 2, 9)] == ["#56a64b", "#EAB839", "#e02f44"]
