"""What the ledger answers to those who ask the audit policy what was spent (`extproc.policy.Policy.spending`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from extproc.spending import Question, SpendingError, Spent
from extproc.tasks import aside
from policies.audit.ledger.settings import LedgerSettings


async def spent(sinks: Iterable[object], question: Question) -> AsyncIterator[Spent]:
    """What the first ledger among these sinks has of it. What cost most comes first; days and months in their order.

    Raises:
        SpendingError: there is no ledger, it does not answer, or nothing can be told apart by what is asked.
    """
    ledger = next((sink for sink in sinks if isinstance(sink, LedgerSettings)), None)
    if ledger is None:
        raise SpendingError("the policy `audit` keeps no ledger: give it a sink of `kind: ledger`")
    try:
        # Imported here: not everybody has a database driver.
        from policies.audit.ledger.sql_spending import read
    except ModuleNotFoundError as error:
        raise SpendingError(f"the ledger needs {error.name}, which is not installed") from None
    for one in await aside(lambda: read(ledger, question), name="audit: spending"):
        yield one
