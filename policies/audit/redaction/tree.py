"""Redaction of a JSON value: every string and key of it, what names and what stands beside each other taken together.

What a key says to be a secret is one (`policies.audit.redaction.assignments`). The texts of the parts of one message
(objects with a `text` in one list; the strings of a list under `content`) are read as one text, without anything between
them: a value that begins in one and ends in another is replaced where it begins.

The outcome is JSON as the journal can hold it: keys are strings, and no two the same; numbers that are not whole, or
beyond 2^53 - 1 (RFC 7493), are text; what JSON does not know is text. Bounds: `DEEPEST` levels, `MOST_VALUES` values,
`MOST_CHARACTERS` characters; what is beyond is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from policies.audit.redaction.assignments import may_say_secret, says_secret, stands_for_nothing
from policies.audit.redaction.detector import merged
from policies.audit.redaction.kinds import Finding, Kind, looks_random, too_long
from policies.audit.redaction.views import sound

DEEPEST: Final = 64
MOST_VALUES: Final = 100_000
MOST_CHARACTERS: Final = 1 << 23
LARGEST: Final = (1 << 53) - 1
"""The largest whole number that every reader of JSON takes for the same (RFC 7493)."""
TOO_DEEP: Final = "[too deep]"
UNREADABLE: Final = "[unreadable]"
_LISTS_OF_TEXT: Final = frozenset({"content", "text", "parts"})
_LEAST_NUMBER: Final = 10**6


class Texts(Protocol):
    """What redacts one text (`policies.audit.redaction.redactor.Redactor`)."""

    takes_secrets: bool

    def text(self, value: str) -> str: ...
    def find(self, value: str) -> list[Finding]: ...
    def looks_at(self, length: int) -> bool: ...
    def labelled(self, kind: str, value: str) -> str: ...


class Walk:
    """One pass over one value. `found` says afterwards whether anything was replaced."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._values = 0
        self._characters = 0
        self.found = False

    def value(self, value: Any, key: str = "", depth: int = 0) -> Any:
        """The value as the journal can hold it. `key` is under which it stands."""
        self._values += 1
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, (Mapping, list, tuple)):
            if depth >= DEEPEST or self._values > MOST_VALUES:
                self.found = True
                return TOO_DEEP
            return self._object(value, depth + 1) if isinstance(value, Mapping) else self._list(value, key, depth + 1)
        if isinstance(value, int):
            return self._whole(int(value), key)
        return self._string(_as_text(value), key)

    def _string(self, value: str, key: str) -> str:
        self._characters += len(value)
        if self._characters > MOST_CHARACTERS:
            self.found = True
            return too_long(len(value))
        if key and self._texts.takes_secrets and self._is_secret(value, key):
            self.found = True
            return self._texts.labelled(Kind.SECRET, value) if self._texts.looks_at(len(value)) else too_long(len(value))
        kept = self._texts.text(value)
        self.found = self.found or kept != value
        return kept

    def _is_secret(self, value: str, key: str) -> bool:
        if says_secret(key):
            return not stands_for_nothing(value)
        if may_say_secret(key) and len(value) <= 8192 and " " not in value and not stands_for_nothing(value):
            return looks_random(value, 16) and any(map(str.isdigit, value))
        return False

    def _whole(self, value: int, key: str) -> int | str:
        if -_LEAST_NUMBER < value < _LEAST_NUMBER and not (key and says_secret(key)):
            return value
        if abs(value) > 1 << 256:
            return too_long(value.bit_length())
        written = str(value)
        kept = self._string(written, key)
        return value if kept == written and abs(value) <= LARGEST else kept

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, member in value.items():
            if self._values > MOST_VALUES:
                self.found = True
                break
            name = key if isinstance(key, str) else _as_text(key)
            kept = self._string(name, "")
            if kept in result:
                kept = _another(kept, result)
            result[kept] = self.value(member, name, depth)
        return result

    def _list(self, value: list[Any] | tuple[Any, ...], key: str, depth: int) -> list[Any]:
        items = value[: max(0, MOST_VALUES - self._values)]
        whole = self._joined(items, key)
        result = [self.value(item, key, depth) for item in whole]
        if len(items) < len(value):
            self.found = True
            result.append(f"[too long: {len(value) - len(items)} items]")
        return result

    def _joined(self, items: list[Any] | tuple[Any, ...], key: str) -> list[Any] | tuple[Any, ...]:
        """The items; where there is something in their texts, read as one, with labels in its place."""
        places = [place for place, item in enumerate(items) if _text_of(item, key) is not None]
        texts = [sound(_text_of(items[place], key) or "") for place in places]
        length = sum(map(len, texts))
        if len(texts) < 2 or not self._texts.looks_at(length) or self._characters + length > MOST_CHARACTERS:
            return items
        cuts = _across(self._texts, texts)
        if not cuts:
            return items
        self.found = True
        result = list(items)
        for place, text in zip(places, _cut(self._texts, texts, cuts), strict=True):
            item = items[place]
            result[place] = text if isinstance(item, str) else {**item, "text": text}
        return result


def _across(texts: Texts, parts: list[str]) -> list[Finding]:
    """The findings of the parts as one text, with those of each; none if there are none in the one text."""
    findings = texts.find("".join(parts))
    if not findings:
        return []
    place = 0
    for part in parts:
        findings += [each._replace(start=each.start + place, end=each.end + place) for each in texts.find(part)]
        place += len(part)
    return merged(findings)


def _cut(texts: Texts, parts: list[str], findings: list[Finding]) -> list[str]:
    """The parts with each finding taken out of all, and its label where it begins."""
    result = []
    begin = 0
    for part in parts:
        end = begin + len(part)
        pieces = []
        done = begin
        for each in findings:
            if each.end <= begin or each.start >= end:
                continue
            pieces.append(part[done - begin : max(each.start, begin) - begin])
            if each.start >= begin:
                pieces.append(texts.labelled(each.kind, each.value))
            done = min(each.end, end)
        pieces.append(part[done - begin :])
        result.append("".join(pieces))
        begin = end
    return result


def _text_of(item: Any, key: str) -> str | None:
    if isinstance(item, str):
        return item if key in _LISTS_OF_TEXT else None
    text = item.get("text") if isinstance(item, Mapping) else None
    return text if isinstance(text, str) else None


def _another(key: str, taken: Mapping[str, Any]) -> str:
    number = 2
    while f"{key}#{number}" in taken:
        number += 1
    return f"{key}#{number}"


def _as_text(value: Any) -> str:
    """What JSON does not know, as text; whatever an object's own method does."""
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).decode("utf-8", "replace")
        return str(value)
    except Exception:
        return UNREADABLE
