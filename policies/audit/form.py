"""Records that are like others but for some values: written from a form, instead of being made anew each time.

Of two exchanges of one caller, who asks for the same model in the same way, all but a dozen members are equal. To gather
them, look through their texts, check their types and put them in order takes four times as long as to fill in the blanks
of a form. A form is made from a whole record, so both ways give the same bytes; `tests/policies/audit/test_form.py`
holds them to it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import msgspec

from policies.audit.canonical import FIRST, UNWRITABLE, Beginning, seal_members, written
from policies.audit.record import SCHEMA

Values = tuple[str, ...]
"""What goes into the blanks, in the order of their names: texts that need no escaping, and JSON of what is no text. Where
a record does not have the member its value is not looked at."""
CHAIN: Final = ("journal", "previous", "sequence", "timestamp")
"""The blanks of every form: what the journal adds, and the time. Their values stand before the others."""

_REMEMBERED: Final = 4_096


# In canonical form it would be escaped.
_BLANK: Final = "\0"
# In place of what the journal adds.
_ADDED: Final = {"journal": "", "previous": FIRST, "schema": SCHEMA, "sequence": 0}


class Form(msgspec.Struct, frozen=True):
    """The canonical form of a record, with blanks.

    Attributes:
        beginning: what stands before the first blank.
        rest: what follows; every second part, from the first on, is a blank.
        places: of the blanks, in order: which of the values goes there.
        about: `event`, `tenant` and `tenant_id` of all its records.
    """

    beginning: Beginning
    rest: tuple[str, ...]
    places: tuple[int, ...]
    about: tuple[str, str, str]

    def seal(self, values: Values) -> tuple[bytes, str]:
        """The line of the record with these values, those of `CHAIN` first, and its hash."""
        parts = list(self.rest)
        parts[::2] = [values[place] for place in self.places]
        return self.beginning.seal("".join(parts).encode())


def form(members: Mapping[str, Any], blanks: Sequence[str]) -> Form:
    """The form of records that differ from this one in these members only. Those that it does not have are left out."""
    names = sorted(members)
    written_out = (_blank(members[name]) if name in blanks else written(members[name]) for name in names)
    text = ",".join(f'"{name}":{value}' for name, value in zip(names, written_out, strict=True))
    first, *rest = re.split(f"({_BLANK})", f"{{{text}}}")
    about = members["event"], members.get("tenant", ""), members.get("tenant_id", "")
    places = tuple(blanks.index(name) for name in names if name in blanks)
    return Form(Beginning(first.encode()), tuple(rest), places, about)


def _blank(value: Any) -> str:
    return f'"{_BLANK}"' if isinstance(value, str) else _BLANK


class Forms:
    """The forms of what has been seen twice, by what is equal in all of their records; the oldest are forgotten."""

    __slots__ = ("_blanks", "_known", "_most", "_once")

    def __init__(self, blanks: Sequence[str], most: int = _REMEMBERED) -> None:
        """`blanks`: beside those of `CHAIN`, in the order in which their values will be told."""
        self._blanks = (*CHAIN, *blanks)
        self._most = most
        self._known: OrderedDict[Hashable, Form] = OrderedDict()
        # What clients choose may be new each time: a form for each would cost more than it saves.
        self._once: OrderedDict[int, None] = OrderedDict()

    def get(self, alike: Hashable) -> Form | None:
        """The form of records in which this is alike."""
        return self._known.get(alike)

    def learn(self, alike: Hashable, members: Mapping[str, Any]) -> None:
        """A record that was written without a form. `members`: all of them, as they were given to the journal."""
        seen = hash(alike)
        if seen not in self._once:
            if len(self._once) >= self._most:
                self._once.popitem(last=False)
            self._once[seen] = None
            return
        del self._once[seen]
        made = _proven(members, self._blanks)
        if made is None:
            return
        if len(self._known) >= self._most:
            self._known.popitem(last=False)
        self._known[alike] = made


def _proven(members: Mapping[str, Any], blanks: Sequence[str]) -> Form | None:
    """The form of this record, if it can be written, and the form gives the same bytes."""
    whole = {**_ADDED, **members}
    try:
        line, _ = seal_members(whole)
        made = form(whole, blanks)
        found = [whole.get(name, "") for name in blanks]
        values = tuple(value if isinstance(value, str) else written(value) for value in found)
        return made if made.seal(values)[0] == line else None
    except UNWRITABLE:
        return None
