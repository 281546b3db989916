"""Secrets that can be told by their own form: keys with a prefix, tokens, private keys, passwords in URLs. Pure.

A table of forms: the text in lower case must hold the mark of a form before its expression is tried, so that an ordinary
text costs a few searches for substrings. No expression looks at a character more than a bounded number of times.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from policies.audit.redaction.kinds import LABEL, Finding, Kind, looks_random


def _mixed(token: str) -> bool:
    return looks_random(token.partition("-")[2], 16)


def _jwt(token: str) -> bool:
    return "eyJ" in token.partition(".")[0]


def _azure(token: str) -> bool:
    return "JQQJ9" in token


def _aws(token: str) -> bool:
    return any(c.isdigit() for c in token) and token != token.lower() and token != token.upper()


_Form = tuple[str, re.Pattern[str], Callable[[str], bool] | None]
_FORMS: Final[tuple[_Form, ...]] = tuple(
    (mark, re.compile(expression), check)
    for mark, expression, check in (
        # OpenAI, Anthropic, OpenRouter, Langfuse and those that write keys like them.
        ("sk-", r"sk-(?:ant|proj|svcacct|admin|or|lf)-[A-Za-z0-9_\-]{16,}+", None),
        ("sk-", r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{16,}+", _mixed),
        ("sk_", r"sk_(?:live|test|prod)_[A-Za-z0-9]{10,}+", None),  # Stripe
        ("rk_", r"rk_(?:live|test|prod)_[A-Za-z0-9]{10,}+", None),
        ("whsec_", r"whsec_[A-Za-z0-9+/=]{16,}+", None),
        ("akia", r"AKIA[A-Z0-9]{16}", None),  # AWS
        ("asia", r"ASIA[A-Z0-9]{16}", None),
        ("akia", r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", _aws),
        ("asia", r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", _aws),
        ("gh", r"gh[opusr]_[A-Za-z0-9]{20,}+", None),  # GitHub
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{20,}+", None),
        ("glpat-", r"glpat-[A-Za-z0-9_\-]{16,}+", None),  # GitLab
        ("xox", r"xox[a-z]-[A-Za-z0-9\-]{10,}+", None),  # Slack
        ("xapp-", r"xapp-[A-Za-z0-9\-]{10,}+", None),
        ("hooks.slack", r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{16,}+", None),
        ("aiza", r"AIza[A-Za-z0-9_\-]{30,}+", None),  # Google
        ("gocspx-", r"GOCSPX-[A-Za-z0-9_\-]{16,}+", None),
        ("ya29.", r"ya29\.[A-Za-z0-9_\-]{16,}+", None),
        ("hf_", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}+", None),
        ("gsk_", r"gsk_[A-Za-z0-9]{20,}+", None),
        ("xai-", r"(?<![A-Za-z0-9])xai-[A-Za-z0-9]{20,}+", None),
        ("npm_", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{30,}+", None),
        ("pypi-", r"pypi-AgE[A-Za-z0-9_\-]{16,}+", None),
        ("sg.", r"SG\.[A-Za-z0-9_\-]{16,}+\.[A-Za-z0-9_\-]{16,}+", None),  # SendGrid
        ("q~", r"(?<![A-Za-z0-9_~.\-])[A-Za-z0-9_~.\-]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}", None),  # Entra client secrets
        ("jqqj9", r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{60,}+={0,2}", _azure),
        ("==", r"(?<![A-Za-z0-9+/])(?<!sha512-)[A-Za-z0-9+/]{86}==", None),  # keys of Azure's storage, Cosmos and buses
        # Runs are taken whole: what begins inside of one is never tried again.
        ("eyj", r"(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]{11,}+(?:\.[A-Za-z0-9_\-]*+){2,4}", _jwt),
    )
)
_URL: Final = re.compile(r"://[^\s/?#\"'<>:@]{0,256}+:([^\s/?#\"'<>]{1,512})@")
_SCHEME: Final = re.compile(r"\b(bearer|basic)[\s:]{1,8}+([A-Za-z0-9._~+/\-]{6,}+=*)", re.IGNORECASE)
_PEM: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY: Final = re.compile(r"[A-Za-z0-9+/=\s\\,:\-]*+")


def credentials(text: str, lowered: str) -> Iterator[Finding]:
    """The secrets in a text that show by themselves. `lowered` is the text in lower case."""
    for mark, expression, check in _FORMS:
        if mark in lowered:
            for found in expression.finditer(text):
                if check is None or check(found[0]):
                    yield Finding(found.start(), found.end(), Kind.SECRET, found[0])
    if "://" in text:
        for found in _URL.finditer(text):
            if not LABEL.fullmatch(found[1]):
                yield Finding(found.start(1), found.end(1), Kind.SECRET, found[1])
    if "bearer" in lowered or "basic" in lowered:
        for found in _SCHEME.finditer(text):
            if _is_basic(found[2]) if found[1].lower() == "basic" else _is_bearer(found[2]):
                yield Finding(found.start(2), found.end(2), Kind.SECRET, found[2])
    if "-----begin" in lowered:
        yield from _private_keys(text)


def _is_bearer(token: str) -> bool:
    return looks_random(token, 8) or (len(token) >= 20 and token.isalnum())


def _is_basic(token: str) -> bool:
    try:
        return b":" in base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except binascii.Error:
        return False


def _private_keys(text: str) -> Iterator[Finding]:
    """From the first line of a private key to its last; without a last line, as far as there are signs of base64."""
    done = 0
    while begin := _PEM.search(text, done):
        end = _PEM_END.search(text, begin.end())
        if end is None:
            break
        done = end.end()
        yield Finding(begin.start(), done, Kind.SECRET, text[begin.start() : done])
    # No last line from here on: looked for once, for a text may be full of first lines.
    while begin := _PEM.search(text, done):
        body = _PEM_BODY.match(text, begin.end())
        done = body.end() if body else begin.end()
        yield Finding(begin.start(), done, Kind.SECRET, text[begin.start() : done])
