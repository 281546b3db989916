"""The journal on disk: who appends to it, who reads it, who checks it, and what becomes of what is old.

`FOLDER/<journal>/` belongs to one writer at a time. In it: `lock` (held by the writer), segments of lines, a seal and an
index beside each segment that has ended, `head.json` (how far it is certainly on the disk), and `removed.json` (what
retention took away).
"""

from policies.audit.journal.reader import BrokenJournalError, JournalReader, Position
from policies.audit.journal.segments import journals
from policies.audit.journal.settings import JournalError, JournalSettings
from policies.audit.journal.writer import JournalWriter

__all__ = [
    "BrokenJournalError",
    "JournalError",
    "JournalReader",
    "JournalSettings",
    "JournalWriter",
    "Position",
    "journals",
]
