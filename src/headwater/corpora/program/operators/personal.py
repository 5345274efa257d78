"""Personal data and keys in text: mainland identity numbers, telephone numbers, bank cards, e-mail addresses, secrets.

What has a check digit must pass it: of eighteen random digits one in eleven would, and the date and the province in it rule out nearly all of those.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headwater.corpora.program.operators.documents import Documents
from headwater.scanning import secrets

KINDS = ("identity", "bank_card", "phone", "email", "key")
_MARKS = {"identity": "<ID>", "bank_card": "<CARD>", "phone": "<PHONE>", "email": "<EMAIL>", "key": "<KEY>"}

_IDENTITY = re.compile(
    r"(?<![0-9A-Za-z])([1-6][0-9]|7[1]|8[1-3])[0-9]{4}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?![0-9A-Za-z])"
)
# GB/T 2260: the provinces' codes.
_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
# GB 11643-1999: weights and check characters of ISO 7064 MOD 11-2.
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# Issuers' beginnings: Visa, Mastercard, UnionPay, American Express, JCB, Discover, Maestro.
# Longer groupings first: a card of 19 digits begins as one of 16.
_CARD = re.compile(
    r"(?<![0-9A-Za-z.\-])(?:4[0-9]|5[1-5]|2[2-7]|62|3[457]|6[0458]|81)[0-9]{2}"
    r"(?:(?: [0-9]{4}){3} [0-9]{3}|(?:[ -][0-9]{4}){3}|[ -][0-9]{6}[ -][0-9]{5}|[0-9]{9,15})(?![0-9A-Za-z]|[.\-][0-9])"
)
_MOBILE = re.compile(
    r"(?<![0-9A-Za-z.\-_/])(?:(?:\+|00)86[ -]?)?1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -][0-9]{4})(?![0-9A-Za-z]|[.\-_][0-9])"
)
_LANDLINE = re.compile(
    r"(?<![0-9A-Za-z.\-_/])(?:\((?:010|02[0-9]|0[3-9][0-9]{2})\) ?|(?:(?:\+|00)86[ -]?)?(?:0?10|0?2[0-9]|0?[3-9][0-9]{2})-)[2-8][0-9]{6,7}(?:-[0-9]{1,5})?(?![0-9A-Za-z]|[.\-][0-9])"
)
_ABROAD = re.compile(r"(?<![0-9A-Za-z.\-_/+])\+(?!86)[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){2,5}(?![0-9A-Za-z])")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-@])[A-Za-z0-9](?:[A-Za-z0-9._%+\-]{0,62}[A-Za-z0-9])?@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,4}[A-Za-z]{2,18}(?![A-Za-z0-9\-@])"
)
# RFC 2606: names that stand for nobody.
_NOBODY = re.compile(r"(?:@|\.)(?:example(?:\.(?:com|net|org|edu|cn))?|invalid|test|localhost|local)$", re.IGNORECASE)
_CONTINUING = re.compile(rb"[\x80-\xbf]")
_ANY_DIGITS = re.compile("[0-9]{4}")


@dataclass(frozen=True)
class Finding:
    kind: str
    start: int
    end: int


def identity_is_valid(number: str) -> bool:
    """Whether 18 characters are a mainland identity number: province, date of birth, check character (GB 11643-1999)."""
    if len(number) != 18 or number[:2] not in _PROVINCES or not number[:17].isascii() or not number[:17].isdigit():
        return False
    year, month, day = int(number[6:10]), int(number[10:12]), int(number[12:14])
    if not 1850 <= year <= 2100 or not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1]:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return _CHECKS[total % 11] == number[17].upper()


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: doubled from the right, every second digit."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def find(text: str, kinds: Sequence[str] = KINDS) -> list[Finding]:
    """What is there, from left to right; where two overlap, the one that a check digit proves wins."""
    found: list[Finding] = []
    digits = _ANY_DIGITS.search(text) is not None
    if digits and "identity" in kinds:
        found += (Finding("identity", *m.span()) for m in _IDENTITY.finditer(text) if identity_is_valid(m[0]))
    if digits and "bank_card" in kinds:
        found += _cards(text)
    if "key" in kinds:
        found += _keys(text)
    if "email" in kinds and "@" in text:
        found += (Finding("email", *m.span()) for m in _EMAIL.finditer(text) if not _NOBODY.search(m[0]))
    if digits and "phone" in kinds:
        found += (Finding("phone", *m.span()) for form in (_MOBILE, _LANDLINE) for m in form.finditer(text))
        if "+" in text:
            found += (Finding("phone", *m.span()) for m in _ABROAD.finditer(text) if 8 <= _n_digits(m[0]) <= 15)
    return _apart(found)


def _cards(text: str) -> Iterator[Finding]:
    for match in _CARD.finditer(text):
        number = match[0].replace(" ", "").replace("-", "")
        if 13 <= len(number) <= 19 and len(set(number)) > 3 and luhn(number):
            yield Finding("bank_card", *match.span())


def _keys(text: str) -> Iterator[Finding]:
    data = text.encode("utf-8", "surrogatepass")
    at = characters = 0  # of bytes, how many characters they are: counted on, never anew
    for secret in sorted(secrets.find(data), key=lambda secret: (secret.start, secret.end)):
        characters += _n_characters(data[at : secret.start])
        at = secret.start
        yield Finding("key", characters, characters + _n_characters(data[at : secret.end]))


def _n_characters(data: bytes) -> int:
    return len(data) - len(_CONTINUING.findall(data))


def _n_digits(text: str) -> int:
    return sum(c.isdigit() for c in text)


def _apart(found: list[Finding]) -> list[Finding]:
    taken: list[Finding] = []  # from left to right, and none overlaps another
    for finding in found:  # in the order of their proof
        at = bisect_left(taken, finding.start, key=lambda other: other.start)
        if (at == 0 or taken[at - 1].end <= finding.start) and (at == len(taken) or taken[at].start >= finding.end):
            taken.insert(at, finding)
    return taken


class PersonalData:
    """Covers what is found by a mark such as ``<EMAIL>``, or drops the document: ``pii:<kind>``."""

    name = "pii"

    def __init__(self, *, kinds: Sequence[str] = KINDS, action: str = "replace") -> None:
        self._kinds, self._action = tuple(kinds), action

    def __call__(self, documents: Documents) -> None:
        for row in documents.staying():
            text = documents.texts[row]
            found = find(text, self._kinds)
            if not found:
                continue
            for finding in found:
                documents.tallies[f"{self.name}.{finding.kind}"] += 1
            documents.tallies[f"{self.name}.documents"] += 1
            if self._action == "drop":
                documents.drop(row, f"{self.name}:{found[0].kind}")
                continue
            parts: list[str] = []
            at = 0
            for finding in found:
                parts += (text[at : finding.start], _MARKS[finding.kind])
                at = finding.end
            documents.texts[row] = "".join(parts) + text[at:]
