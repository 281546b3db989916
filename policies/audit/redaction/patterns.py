"""Own patterns: regular expressions from the configuration, refused where one could take long on some text. Pure.

Python's `re` tries every way in which an expression can match. The ways of a pattern are therefore counted before it is
taken: every repetition needs an upper bound, and the choices of all of them together must stay below `MOST_CHOICES`. A
search is then linear in the text, with that factor at worst.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

MOST_CHOICES: Final = 256
"""In how many ways a pattern may match from one place."""
MOST_WIDTH: Final = 256
"""How many characters a match may have."""
MOST_LENGTH: Final = 512
"""How many characters a pattern may have."""
# Its tree is what `re` compiles from; there is no other reader of the same syntax.
_parser: Final[Any] = importlib.import_module("re._parser")
_SIMPLE: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "RANGE", "FAILURE"})


def check_pattern(pattern: str) -> str:
    """The pattern itself.

    Raises:
        ValueError: it is no regular expression, matches nothing at all, or could be slow; the message says which.
    """
    if len(pattern) > MOST_LENGTH:
        raise ValueError(f"expected a pattern of at most {MOST_LENGTH} characters")
    try:
        tree = _parser.parse(pattern)
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    choices = _choices(tree)
    least, most = tree.getwidth()
    if least == 0:
        raise ValueError("it also matches nothing at all: say what must be there")
    if choices > MOST_CHOICES or most > MOST_WIDTH:
        raise ValueError(
            f"it could be slow on some texts: it can match in {choices} ways and {most} characters from one place, and"
            f" {MOST_CHOICES} and {MOST_WIDTH} are allowed; bound repetitions more closely"
        )
    return pattern


def _choices(tree: Any) -> int:
    """In how many ways a sequence can match, counted without looking at what it matches."""
    product = 1
    for code, argument in tree:
        product = min(product * _ways(str(code), argument), 1_000_000)
    return product


def _ways(code: str, argument: Any) -> int:
    if code in _SIMPLE:
        return 1
    if code == "BRANCH":
        return sum(_choices(branch) for branch in argument[1])
    if code == "SUBPATTERN":
        return _choices(argument[3])
    if code == "ATOMIC_GROUP":
        return _choices(argument)
    if code in ("ASSERT", "ASSERT_NOT"):
        return _choices(argument[1])
    if code in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _repeated(*argument)
    raise ValueError("no references to groups: how long they take depends on the text")


def _repeated(least: int, most: int, item: Any) -> int:
    if most == _parser.MAXREPEAT:
        raise ValueError("a repetition has no upper bound: write {1,64} in place of +, and {0,64} in place of *")
    each = _choices(item)
    if each == 1:
        return most - least + 1
    return sum(min(each ** min(count, 24), 1_000_000) for count in range(least, min(most, least + 1000) + 1))
