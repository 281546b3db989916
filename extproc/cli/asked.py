"""A request as it is typed on the command line. Pure, but for reading what `@file` and `-` name."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from extproc.exchange import Headers, Request

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = "gateway"


def request_from(
    *, method: str | None, path: str | None, fields: Sequence[str], token: str | None, body: bytes | None
) -> Request:
    """The request. Without a method it is a POST if there is a body; without a path, a chat or the list of models.

    Raises:
        typer.BadParameter: a header field that is none, or a path without a slash.
    """
    path = path or ("/v1/models" if body is None else "/v1/chat/completions")
    if not path.startswith("/"):
        raise typer.BadParameter(f"expected a path that begins with a slash, not {path!r}", param_hint="--path")
    headers = [parse_field(field) for field in fields]
    if token is not None:
        headers.append(("authorization", f"Bearer {token}"))
    names = {name for name, _ in headers}
    if body is not None:
        headers += [("content-type", "application/json")] if "content-type" not in names else []
        headers += [("content-length", str(len(body)))] if "content-length" not in names else []
    bare, _, query = path.partition("?")
    return Request(
        method=(method or ("GET" if body is None else "POST")).upper(),
        path=bare,
        query=query,
        authority=_HOST,
        scheme="http",
        headers=Headers(headers),
        request_id="explained",
    )


def parse_field(text: str) -> tuple[str, str]:
    """Name (lower case) and value of `name: value`.

    Raises:
        typer.BadParameter: it is not of this form.
    """
    name, colon, value = text.partition(":")
    if not colon or not _FIELD_NAME.fullmatch(name):
        # Not repeated: the value may be a credential.
        raise typer.BadParameter("expected `name: value`", param_hint="--header")
    return name.lower(), value.strip()


def read_token(argument: str | None) -> str | None:
    """The token: `-` is standard input."""
    return sys.stdin.read().strip() if argument == "-" else argument


def read_body(argument: str | None) -> bytes | None:
    """The body: `@file`, or the text itself.

    Raises:
        typer.BadParameter: the file cannot be read.
    """
    if argument is None:
        return None
    if not argument.startswith("@"):
        return argument.encode()
    try:
        return Path(argument[1:]).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{argument[1:]}: {error.strerror}", param_hint="--body") from error
