"""The documents as YAML: for `kubectl apply`, or for `aigw run`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as scripts, as the lines that they are."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
_WIDTH: Final = 1_000
"""Lines are broken nowhere: a scalar of two lines is harder to read than a long one."""


def written(documents: Iterable[Mapping[str, Any]], *, standalone: bool, notes: Iterable[str] = ()) -> str:
    """The documents in one YAML text, below the notes.

    `standalone`: for `aigw run`, which puts the environment's variables in where the text has `$NAME`, also in the middle
    of a script. There is nothing of that kind in it: every `$` is doubled, which `aigw` reads as one.
    """
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    text = "".join(f"# {line}\n" for line in notes) + text
    return text.replace("$", "$$") if standalone else text
