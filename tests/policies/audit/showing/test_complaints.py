"""Expected faults: a line each, and the exit status."""

from __future__ import annotations

import pytest
import typer

from policies.audit.following.replaying import ReplayError
from policies.audit.following.sink import SinkError
from policies.audit.holds import HoldsError
from policies.audit.journal.heads import NoteError
from policies.audit.journal.settings import JournalError
from policies.audit.journal.signing import SigningKeyError
from policies.audit.showing.complaints import telling, told
from policies.audit.showing.filters import FilterError
from policies.audit.showing.times import TimeError

FAULTS = [
    *((FilterError("wrong"), 2), (TimeError("wrong"), 2), (SigningKeyError("wrong"), 2)),
    *((HoldsError("no"), 1), (JournalError("no"), 1), (NoteError("no"), 1), (ReplayError("no"), 1), (SinkError("no"), 1)),
]


@pytest.mark.parametrize(("error", "status"), FAULTS)
def test_faults(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    @telling
    def command(*, said: str) -> None:
        """Go wrong."""
        print(said)
        raise error

    with pytest.raises(typer.Exit) as caught:
        command(said="something")
    assert caught.value.exit_code == status
    written = capsys.readouterr()
    assert (written.out, written.err) == ("something\n", f"sluicegate: {error}\n")


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_what_is_left_to_others(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), told():
        raise error
    assert capsys.readouterr().err == ""
