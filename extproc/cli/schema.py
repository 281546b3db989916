"""`sluicegate schema`: the JSON Schema of the configuration, for editors and pipelines."""

from __future__ import annotations

import json

from extproc.printing import show_text


def command() -> None:
    """Print the JSON Schema of the configuration, with the settings of every installed policy."""
    from extproc.assembly import configuration_schema

    show_text(json.dumps(configuration_schema(), indent=2, ensure_ascii=False) + "\n")
