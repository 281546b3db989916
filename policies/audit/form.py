"""Records that are like others but for some values: written from a form, instead of being made anew each time.

Of two exchanges of one caller, who asks for the same model in the same way, all but a dozen members are equal. To gather
them, look through their texts, check their types and put them in order takes four times as long as to fill in the blanks
of a form. A form is made from a whole record, so both ways give the same bytes; `tests/policies/audit/test_form.py`
holds them to it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import Any, Final

import msgspec

from policies.audit.canonical import FIRST, UNWRITABLE, Beginning, seal_members, written
from policies.audit.record import SCHEMA

Values = dict[str, str]
"""What goes into the blanks, by name: a text that needs no escaping, or JSON of what is no text."""

_REMEMBERED: Final = 4_096


# In canonical form it would be escaped.
_BLANK: Final = "\0"
# In place of what the journal adds.
_CHAIN: Final = {"journal": "", "previous": FIRST, "schema": SCHEMA, "sequence": 0}


class Form(msgspec.Struct, frozen=True):
    """The canonical form of a record, with blanks.

    Attributes:
        beginning: what stands before the first blank.
        rest: what follows; every second part, from the first on, is a blank.
        blanks: their names, in order.
        about: `event`, `tenant` and `tenant_id` of all its records.
    """

    beginning: Beginning
    rest: tuple[str, ...]
    blanks: tuple[str, ...]
    about: tuple[str, str, str]

    def seal(self, values: Values) -> tuple[bytes, str]:
        """The line of the record with these values, and its hash. Values that have no blank are left out.

        Raises:
            KeyError: a blank has no value.
        """
        parts = list(self.rest)
        parts[::2] = [values[name] for name in self.blanks]
        return self.beginning.seal("".join(parts).encode())


def form(members: Mapping[str, Any], blanks: Collection[str]) -> Form:
    """The form of records that differ from this one in these members only. Those that it does not have are left out."""
    names = sorted(members)
    written_out = (_blank(members[name]) if name in blanks else written(members[name]) for name in names)
    text = ",".join(f'"{name}":{value}' for name, value in zip(names, written_out, strict=True))
    first, *rest = re.split(f"({_BLANK})", f"{{{text}}}")
    about = members["event"], members.get("tenant", ""), members.get("tenant_id", "")
    return Form(Beginning(first.encode()), tuple(rest), tuple(name for name in names if name in blanks), about)


def _blank(value: Any) -> str:
    return f'"{_BLANK}"' if isinstance(value, str) else _BLANK


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
        values = {name: value if isinstance(value, str) else written(value) for name, value in whole.items()}
        return made if made.seal(values)[0] == line else None
    except UNWRITABLE:
        return None
