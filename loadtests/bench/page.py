"""A part of a page that a program writes, between two marks; what people wrote around it stays. Pure."""

from __future__ import annotations


def marks(name: str) -> tuple[str, str]:
    """The comments around a part."""
    return f"<!-- {name}: begin (written by a program) -->", f"<!-- {name}: end -->"


def replaced(page: str, name: str, text: str) -> str:
    """The page with this text between its marks.

    Raises:
        ValueError: it does not have the marks, once each and in order.
    """
    begin, end = marks(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"expected the comments {begin} and {end}, once each and in this order")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
