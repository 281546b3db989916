"""Follows a folder for a webhook and a file, as a process of its own: `python -m … FOLDER URL FILE`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from policies.audit.following.file_sink import FileSink
from policies.audit.following.following import Following
from policies.audit.following.http_webhook import Webhook
from policies.audit.following.process import run
from policies.audit.following.settings import FileSinkSettings, WebhookSettings

COMMON = {"batch": {"records": 20}, "retry": {"first": 0.02, "most": 0.1, "failures": 3, "pause": 0.1}}


def main(folder: str, url: str, file: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    hook = WebhookSettings.model_validate({"kind": "webhook", "name": "hook", "url": url, "timeout": 2, **COMMON})
    copy = FileSinkSettings.model_validate({"kind": "file", "name": "copy", "path": file, **COMMON})
    run(Path(folder), [Following(hook, Webhook(hook)), Following(copy, FileSink(copy))])


if __name__ == "__main__":
    main(*sys.argv[1:])
