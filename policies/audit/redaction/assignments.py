"""Secrets that are told by the name before them: `password=…`, `"api_key": "…"`, `client secret is …`. Pure.

A name says secret by how it ends, whatever separates its words. In quotes any value counts; without, one that is no bare
word, call or reference of a program. Behind `?`, `&` and `;` and behind names in capitals (URLs, connection strings, the
environment) bare words count too. Behind names that are as often harmless (`token`, `auth`, `sig`) only what looks
random counts, of sixteen characters or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policies.audit.redaction.kinds import LABEL, Finding, Kind, looks_random

MARKS: Final = (
    "pass",
    "pwd",
    "secret",
    "key",
    "token",
    "auth",
    "cred",
    "cookie",
    "sig",
    "wort",
    "pin",
    "connectionstring",
)
"""A text in lower case without any of these names no secret, but for those of `FOREIGN`."""
FOREIGN: Final = ("contrase", "senha", "wachtw", "hasło", "haslo", "lösenord", "пароль", "密码", "暗号", "парол")
_NAMES: Final = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "passwort", "kennwort", "motdepasse", "contraseña"),
    *("contrasena", "senha", "wachtwoord", "hasło", "haslo", "lösenord", "пароль", "密码", "secret", "secrets"),
    *("apikey", "apisecret", "accesskey", "secretkey", "privatekey", "signingkey", "encryptionkey", "accountkey"),
    *("masterkey", "subscriptionkey", "authkey", "sharedkey", "clientkey", "secretaccesskey", "sharedaccesssignature"),
    *("accesstoken", "refreshtoken", "idtoken", "authtoken", "bearertoken", "sessiontoken", "apitoken", "securitytoken"),
    *("sastoken", "personalaccesstoken", "connectionstring", "authorization", "secretaccess", "awssecret"),
)
_SHORT_NAMES: Final = frozenset({"pass", "pw", "cookie", "setcookie"})
_WEAK_NAMES: Final = ("token", "auth", "credential", "credentials", "sig", "signature", "key")
_WORD: Final = re.compile(r"[\W_]+")
_LAST_WORD: Final = re.compile(r"(?:.*[\W_])?", re.DOTALL)
# What stands before a value: the last word of a name, perhaps in quotes and brackets, and a sign of assignment.
_NAME: Final = re.compile(
    r"(?<![\w\-])([^\W\d][\w\-]*+)(?:\\{0,8}[\"'`]\]?|\])?(?:\s{0,8}(?::=|=>|={1,3}|:)\s{0,8}|\s{1,3}(?:is|ist|es|est|lautet)\s{1,3})"
)
_BEFORE: Final = re.compile(r"[\w \-.]*$")
_QUOTE: Final = re.compile(r"(?:[rbfuRBFU]{1,2}(?=[\"']))?(\\{0,8})([\"'`])")
_QUOTED: Final = {
    '"': re.compile(r'(?:[^"\\]|\\.){0,8192}+', re.DOTALL),
    "'": re.compile(r"(?:[^'\\]|\\.){0,8192}+", re.DOTALL),
    "`": re.compile(r"(?:[^`\\]|\\.){0,8192}+", re.DOTALL),
}
_BARE: Final = re.compile(r"[^\s\"'<>&;`\\]{1,8192}+")
_LINE: Final = re.compile(r"[^\r\n\"'\\]{1,8192}+")
_AUTH_SCHEME: Final = re.compile(
    r"(?:bearer|basic|token|digest|negotiate|apikey|api-key|aws4-hmac-sha256)\s{1,4}", re.IGNORECASE
)
_NOTHING: Final = re.compile(
    r"\$\{.*|\$\(.*|\$[A-Za-z_]+|\{.*\}|<.*>|%\(?[A-Za-z_]*\)?s?|[*•.…_\-]+|[xX]{3,}|(?:none|null|nil|true|false|str|string|text"
    r"|boolean|bool|bytes|undefined|required|optional|redacted|changeme|object)[,.)\]}]*",
    re.IGNORECASE | re.DOTALL,
)
_REFERENCE: Final = re.compile(r"[^\W\d][^\W\d.]*(?:\.[^\W\d]+)*(?:\[.*|\(.*)?[,.)\]}:]*")
_CALL: Final = re.compile(r"[A-Za-z_]\w*[._]\w*(?:\.\w+)*[(\[].*|[A-Za-z_]+\(.*")


def says_secret(name: str) -> bool:
    """Whether what is called this is a secret, whatever it looks like."""
    plain = _WORD.sub("", name).lower()
    return plain.endswith(_NAMES) or plain in _SHORT_NAMES or _last_word(name) in ("pass", "pw", "pin code")


def may_say_secret(name: str) -> bool:
    """Whether what is called this is a secret if it looks like one."""
    return _last_word(name).endswith(_WEAK_NAMES)


def _last_word(name: str) -> str:
    return _WORD.split(name.lower().rstrip("_- "))[-1]


def stands_for_nothing(value: str) -> bool:
    """Whether a value in the place of a secret is none: empty, a label, a placeholder, the name of a type."""
    return not value or LABEL.fullmatch(value) is not None or _NOTHING.fullmatch(value) is not None


def is_marked(lowered: str) -> bool:
    """Whether a text in lower case has anything that could name a secret."""
    for mark in MARKS:
        if mark in lowered:
            return True
    return not lowered.isascii() and any(mark in lowered for mark in FOREIGN)


def assignments(text: str) -> Iterator[Finding]:
    """The values in a text that the names before them say to be secrets."""
    done = 0
    for found in _NAME.finditer(text):
        if found.start() < done or (found.start() and LABEL.match(text, found.start() - 1)):
            continue
        before = _BEFORE.search(text[max(0, found.start() - 24) : found.start()])
        name = (before[0] if before else "") + found[1]
        if says_secret(name):
            value = _value(text, found, name)
        elif may_say_secret(name):
            value = _weak_value(text, found.end())
        else:
            continue
        if value is not None:
            done = value[1]
            yield Finding(*value, Kind.SECRET, text[value[0] : value[1]])


def _value(text: str, name: re.Match[str], words: str) -> tuple[int, int] | None:
    if words.lower().endswith("cookie"):
        line = _LINE.match(text, name.end())
        return line.span() if line and "=" in line[0] else None
    quoted = _in_quotes(text, name.end())
    if quoted is not None:
        return None if stands_for_nothing(text[quoted[0] : quoted[1]]) else quoted
    start = name.end()
    if words.lower().endswith("authorization") and (scheme := _AUTH_SCHEME.match(text, start)):
        start = scheme.end()
    bare = _bare(text, start)
    if bare is None or stands_for_nothing(value := text[bare[0] : bare[1]]):
        return None
    if name.start() and text[name.start() - 1] in "?&;" and name[0][-1] == "=":
        return bare
    if name[1].isupper() and len(name[1]) > 2 and name[0].rstrip()[-1] == "=":
        return bare
    if len(value) < 4 or _CALL.fullmatch(value) or (_REFERENCE.fullmatch(value) and not _long(value)):
        return None
    return bare


def _long(value: str) -> bool:
    """A word too long for one of a language, and without the signs that join the words of a program."""
    return len(value) >= 24 and value.isalnum()


def _weak_value(text: str, start: int) -> tuple[int, int] | None:
    span = _in_quotes(text, start) or _bare(text, start)
    if span is None or LABEL.fullmatch(value := text[span[0] : span[1]]) or " " in value or "(" in value:
        return None
    return span if looks_random(value, 16) and any(c.isdigit() for c in value) else None


def _bare(text: str, start: int) -> tuple[int, int] | None:
    stands = LABEL.match(text, start)
    bare = _BARE.match(text, start)
    if bare is None or (stands is not None and not bare[0][stands.end() - start :].strip(",.)]}")):
        return None
    value = bare[0].rstrip(",.)]}")
    return (start, start + len(value)) if value else None


def _in_quotes(text: str, start: int) -> tuple[int, int] | None:
    """What stands in the quotes that begin here; without an end, to the end of the text or the bound."""
    opened = _QUOTE.match(text, start)
    if opened is None:
        return None
    begin = opened.end()
    if opened[1]:
        # In a string in a string: it ends at the same quote with as many backslashes before.
        end = text.find(opened[1] + opened[2], begin, begin + 8192)
        return (begin, end) if end > begin else None
    value = _QUOTED[opened[2]].match(text, begin)
    return (begin, value.end()) if value and value[0] else None
