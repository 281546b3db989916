"""Redaction by rule: what a record must not hold is replaced before it is written. Pure.

A value is replaced by `[class:hash]`: its class (`policies.audit.redaction.kinds`, or the name of an own pattern) and the
first eight hexadecimal digits of the HMAC-SHA-256 of its normal form under the key, so that equal values can be matched
across records and sinks. Thirty-two bits tell values of one file apart; they prove nothing. Without the key no value can
be found by trying.

Pseudonyms of users are `user-<key>-<hash>`: four digits that tell the key, and twenty-four of the HMAC of tenant and
user. When the key is changed, pseudonyms of the old key and of the new one can therefore be told apart, and whoever still
has the old key can match the two. Labels bear no sign of the key: they are for matching within the life of one.

What is looked through: escapes of JSON and of URLs, up to four times over; digits, dashes, spaces and full stops of other
scripts; characters that cannot be seen; values that are split over the parts of one message. What is not: base64,
compression, encryption, words (`at`, `dot`), numbers spelt out, letters of other scripts in the place of Latin ones in a
key's prefix, a number with other digits right beside it without a separator, and values split over messages, or over
parts by more than nothing. Redaction keeps accidents out of a log; it does not stop who means to put a value there.
"""

from policies.audit.redaction.kinds import Kind
from policies.audit.redaction.redactor import Redactor
from policies.audit.redaction.settings import RedactionSettings

__all__ = ["Kind", "RedactionSettings", "Redactor"]
