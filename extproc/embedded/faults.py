"""What can go wrong with the embedded stack, in words for the person in front of it."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or cannot go on. `lines` are shown before the message: the last lines
    of a child, usually."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines
