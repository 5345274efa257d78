"""What a judgement is made of. A verdict is the worst of its findings; no finding at all is *clean*."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum


class Verdict(IntEnum):
    """Ordered: the worst wins.

    ``SUSPICIOUS`` is quarantine: owners and administrators see the file, others need an explicit step. ``REFUSED`` is a file that lies
    about itself: it never becomes part of a repository.
    """

    CLEAN = 0
    SUSPICIOUS = 1
    REFUSED = 2


@dataclass(frozen=True)
class Rule:
    """One reason for which a file is not clean. ``version`` moves when the rule would judge the same bytes otherwise."""

    id: str  # "pickle.global", stable, listed in docs/scanning.md
    verdict: Verdict
    says: str  # what was found, in English; pages translate by id
    advice: str
    version: int = 1


@dataclass(frozen=True)
class Finding:
    """Where a rule was broken.

    ``offset`` counts bytes from the beginning of the innermost file that ``member`` names ("archive/data.pkl"; inner archives are
    parted by ``!/``), or of the file itself where ``member`` is empty. ``what`` is the stranger's own word for it, cut and made printable.
    """

    rule: Rule
    what: str = ""
    offset: int | None = None
    member: str = ""


@dataclass(frozen=True)
class Import:
    """A name that a pickle asks its reader to import."""

    module: str
    name: str
    is_allowed: bool


@dataclass(frozen=True)
class Judgement:
    """What was found in one file; ``imports`` are those of all its pickles, each once."""

    findings: tuple[Finding, ...] = ()
    imports: tuple[Import, ...] = ()
    kinds: frozenset[str] = field(default_factory=frozenset)  # what it was judged as: "pickle", "zip", …

    @property
    def verdict(self) -> Verdict:
        return max((finding.rule.verdict for finding in self.findings), default=Verdict.CLEAN)

    def inside(self, member: str) -> Judgement:
        """The same, told of a file that lies in an archive under ``member``."""
        return replace(
            self,
            findings=tuple(replace(f, member=f"{member}!/{f.member}" if f.member else member) for f in self.findings),
        )


def together(judgements: Iterable[Judgement]) -> Judgement:
    """All findings of several looks at one file, the worst first, at most ``MAX_FINDINGS``; of any number of looks."""
    findings: dict[Finding, None] = {}
    imports: dict[Import, None] = {}
    kinds: set[str] = set()
    for each in judgements:
        kinds |= each.kinds
        findings |= dict.fromkeys(each.findings)
        imports |= dict.fromkeys(each.imports)
        if len(findings) > 2 * MAX_FINDINGS:
            findings = dict.fromkeys(_worst(findings))
        if len(imports) > 2 * MAX_IMPORTS:
            imports = dict.fromkeys([*imports][:MAX_IMPORTS])
    return Judgement(tuple(_worst(findings)), tuple(imports)[:MAX_IMPORTS], frozenset(kinds))


def _worst(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: -finding.rule.verdict)[:MAX_FINDINGS]


MAX_FINDINGS = 100
MAX_IMPORTS = 1000


def printable(text: str | bytes, limit: int = 120) -> str:
    """A stranger's word, fit for a log line, a header and a page: no control characters, bounded."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", errors="replace")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
