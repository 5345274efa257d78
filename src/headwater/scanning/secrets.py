"""Secrets in text: our own tokens, keys of clouds and hubs, private keys. Each with the line it stands on; never the secret itself.

Own tokens carry a checksum, so that they are found without doubt, and can be revoked at once. The others are known by their issuers'
documented forms; what merely looks random is not called a secret. Each form has a literal part that is looked for first: most files
have none, and are passed at the speed of ``bytes.find``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

OWN_KIND = "Headwater token"
MAX_FOUND = 1000  # of one kind in one file; own tokens, each of which is to be ended, without a limit
_CHECKED_EVERY = 256  # marks
_NEAR_BYTES = 32  # behind a mark, as far as it takes to tell whether it stands in a secret


@dataclass(frozen=True)
class _Form:
    """``marks`` stand in every such secret, at most ``before`` bytes behind its beginning."""

    kind: str
    marks: tuple[bytes, ...]
    form: re.Pattern[bytes]
    before: int = 0


def _form(kind: str, marks: str, form: str, before: int = 0) -> _Form:
    return _Form(kind, tuple(mark.encode() for mark in marks.split("|")), re.compile(form.encode()), before)


_FORMS = (
    _form(
        "private key",
        "-----BEGIN ",
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]){1,8}[A-Za-z0-9+/=:., -]{16,}",
    ),
    _form("AWS access key", "AKIA|ASIA", r"(?<![A-Za-z0-9])A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _form("GitHub token", "ghp_|gho_|ghu_|ghs_|ghr_", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _form("GitHub token", "github_pat_", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}(?![A-Za-z0-9])"),
    _form("Hugging Face token", "hf_", r"(?<![A-Za-z0-9])hf_[A-Za-z]{34}(?![A-Za-z0-9])"),
    _form("GitLab token", "glpat-", r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])"),
    _form(
        "OpenAI key",
        "T3BlbkFJ",
        r"(?<![A-Za-z0-9])sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{16,180}T3BlbkFJ[A-Za-z0-9_-]{16,}",
        before=200,
    ),
    _form("Anthropic key", "sk-ant-", r"(?<![A-Za-z0-9])sk-ant-[a-z0-9]{4,8}-[A-Za-z0-9_-]{80,}"),
    _form("Google API key", "AIza", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _form("Slack token", "xox", r"(?<![A-Za-z0-9])xox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{20,}"),
    _form("Alibaba Cloud access key", "LTAI", r"(?<![A-Za-z0-9])LTAI[A-Za-z0-9]{20}(?![A-Za-z0-9])"),
    _form("Tencent Cloud secret id", "AKID", r"(?<![A-Za-z0-9])AKID[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    _form(OWN_KIND, "hw_", r"(?<![A-Za-z0-9])hw_[A-Za-z0-9]{38}(?![A-Za-z0-9])"),
)
# By a letter of theirs that many files do not have at all: looking for a single byte costs next to nothing.
_MARKS = {
    rare: [(mark, form) for form in _FORMS for mark in form.marks if rare == next(c for c in b"_-Ax3" if c in mark)]
    for rare in b"_-Ax3"
}
_PLACEHOLDER = re.compile(rb"EXAMPLE|XXXX|xxxx|1234567890|0000000000|your[_-]", re.IGNORECASE)


@dataclass(frozen=True)
class Secret:
    """``start`` and ``end`` are its place in the bytes; ``line`` counts from 1."""

    kind: str
    line: int
    start: int
    end: int


_FEW_BYTES = 4096  # beyond it each mark is found faster by itself
_ANY_MARK = re.compile(b"|".join(re.escape(mark) for form in _FORMS for mark in form.marks))


def find(data: bytes, check: Callable[[], None] | None = None) -> list[Secret]:
    """Secrets of known forms; documented examples and placeholders are left out.

    Own tokens (``OWN_KIND``) have the right form; whether the checksum is right is asked of accounts, which makes them. Time grows with
    the length alone, and ``check`` is called now and then where there is anything to look at: what it raises ends the search.
    """
    found: dict[tuple[int, int], str] = {}
    perhaps = [marks for rare, marks in _MARKS.items() if rare in data]
    if not perhaps or (len(data) <= _FEW_BYTES and _ANY_MARK.search(data) is None):
        return []
    n_found: dict[str, int] = {}
    for mark, form in (each for marks in perhaps for each in marks if each[0] in data):
        for match in _matches(data, form, mark, check):
            if n_found.get(form.kind, 0) >= MAX_FOUND and form.kind != OWN_KIND:
                break
            if match.span() not in found and not _PLACEHOLDER.search(match[0]):
                found[match.span()] = form.kind
                n_found[form.kind] = n_found.get(form.kind, 0) + 1
    secrets: list[Secret] = []
    line, at = 1, 0
    for (start, end), kind in sorted(found.items()):
        line, at = line + data.count(b"\n", at, start), start
        secrets.append(Secret(kind, line, start, end))
    return secrets


def _matches(data: bytes, form: _Form, mark: bytes, check: Callable[[], None] | None) -> Iterator[re.Match[bytes]]:
    at, n_marks = data.find(mark), 0
    while at >= 0:
        if check is not None and n_marks % _CHECKED_EVERY == 0:
            check()
        n_marks += 1
        start: int | None = at
        if form.before:
            near = form.form.search(data, max(0, at - form.before), at + len(mark) + _NEAR_BYTES)
            start = None if near is None else near.start()
        match = None if start is None else form.form.match(data, start, start + 16384)
        if match is not None:
            yield match
        at = data.find(mark, at + len(mark) if match is None else max(match.end(), at + len(mark)))
