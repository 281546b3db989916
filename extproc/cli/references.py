"""What a configuration refers to outside itself: environment variables and files. Secrets are never read, only looked
for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_TLS_FILES: Final = ("certificate", "key", "client_ca")


def missing(tree: Any, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A line for each reference that leads nowhere on this machine now, with its path in the configuration."""
    for path, kind, target in references(tree):
        if kind == "env":
            if not environment.get(target):
                yield f"{path}: the environment variable {target} is not set"
        elif not os.access(Path(target), os.R_OK):
            yield f"{path}: the file {target} cannot be read"


def references(tree: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path in the configuration, `env` or `file`, and the name: of secrets, anywhere, and of TLS files."""
    if isinstance(tree, Mapping):
        for kind in ("env", "file"):
            if set(tree) == {kind} and isinstance(tree[kind], str):
                yield f"{path}.{kind}", kind, tree[kind]
        if path.rpartition(".")[2] == "tls":
            for name in _TLS_FILES:
                if isinstance(tree.get(name), str):
                    yield f"{path}.{name}", "file", tree[name]
        for key, value in tree.items():
            yield from references(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from references(value, f"{path}[{index}]")
