"""Records that are like others but for some values: written from a form, instead of being made anew each time.

Of two exchanges of one caller, who asks for the same model in the same way, all but a dozen members are equal. To gather
them, look through their texts, check their types and put them in order takes four times as long as to fill in the blanks
of a form. A form is made from a whole record, so both ways give the same bytes; `tests/policies/audit/test_form.py`
holds them to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import Any, Final

import msgspec

from policies.audit.canonical import FIRST, UNWRITABLE, seal_content, seal_members, written
from policies.audit.record import SCHEMA

Values = dict[str, Any]
"""What goes into the blanks, by name: a whole number, a text that needs no escaping, or JSON of what has members."""

_REMEMBERED: Final = 4_096


# In place of what the journal adds.
_CHAIN: Final = {"journal": "", "previous": FIRST, "schema": SCHEMA, "sequence": 0}


class Form(msgspec.Struct, frozen=True):
    """The canonical form of a record, with blanks.

    Attributes:
        text: to be filled in by `%`, from values by name.
        about: `event`, `tenant` and `tenant_id` of all its records.
    """

    text: str
    about: tuple[str, str, str]


def form(members: Mapping[str, Any], blanks: Collection[str]) -> Form:
    """The form of records that differ from this one in these members only. Those that it does not have are left out."""
    parts = []
    for name in sorted(members):
        value = members[name]
        if name not in blanks:
            text = written(value).replace("%", "%%")
        else:
            text = f'"%({name})s"' if isinstance(value, str) else f"%({name})s"
        parts.append(f'"{name}":{text}')
    about = members["event"], members.get("tenant", ""), members.get("tenant_id", "")
    return Form(f"{{{','.join(parts)}}}", about)


class Forms:
    """The forms of what has been seen twice, by what is equal in all of their records; the oldest are forgotten."""

    def __init__(self, blanks: Collection[str], most: int = _REMEMBERED) -> None:
        self._blanks = frozenset(blanks)
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


def _proven(members: Mapping[str, Any], blanks: Collection[str]) -> Form | None:
    """The form of this record, if it can be written, and the form gives the same bytes."""
    whole = {**_CHAIN, **members}
    try:
        line, _ = seal_members(whole)
        made = form(whole, blanks)
        values = {name: value if isinstance(value, str | int) else written(value) for name, value in whole.items()}
        return made if seal_content((made.text % values).encode())[0] == line else None
    except UNWRITABLE:
        return None
