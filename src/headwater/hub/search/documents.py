"""The search document of a repository: which words stand in which column, and the marks that lists filter by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from headwater.hub.cards.metadata import text, texts
from headwater.hub.cards.models import Card
from headwater.hub.cards.tags import to_filters
from headwater.hub.models import RepoKind, Repository
from headwater.hub.search import segment
from headwater.hub.search.facets import facet_of

MAX_BODY_CHARS = 32_000
MAX_FIELDS_CHARS = 4_000

_MARKUP = re.compile(r"<[^<>]{0,500}>|\]\([^()\s]{0,500}\)|https?://\S{0,500}")


@dataclass(frozen=True)
class Body:
    """The words of a card and its CJK letters; made outside of the write, because long cards take milliseconds."""

    words: str = ""
    chars: str = ""


@dataclass(frozen=True)
class Document:
    """Columns of ``search_document``; words between single spaces."""

    name: str
    parts: str
    body: str
    chars: str
    marks: str


def filters_of(repo: Repository, card: Card | None) -> set[str]:
    """Every tag that the repository can be found by."""
    if card is None:
        return set()
    return to_filters(repo.kind, card.tags, library=card.library, pipeline_tag=card.pipeline_tag)


def facets_of(kind: RepoKind, filters: Iterable[str]) -> str:
    """Those tags that facets count, a line each."""
    return "\n".join(sorted(tag for tag in filters if facet_of(kind, tag)[0] is not None))


def body_of(card: Card | None) -> Body:
    """What a card gives to the full text; bounded."""
    if card is None:
        return Body()
    data = card.data
    fields = [
        *(
            text(data.get(key)) or ""
            for key in ("title", "pretty_name", "description", "short_description", "model_name")
        ),
        *card.tags,
        *texts(data.get("tags")),
    ]
    shown = _MARKUP.sub(" ", card.text[: 2 * MAX_BODY_CHARS])[:MAX_BODY_CHARS]
    whole = "\n".join(fields)[:MAX_FIELDS_CHARS] + "\n" + shown
    return Body(" ".join(segment.words_of(whole)), " ".join(segment.chars_of(whole)))


def document_of(repo: Repository, body: Body, filters: Iterable[str]) -> Document:
    """What the index keeps of one repository; a pure function of its row and its card."""
    full_name = str(repo.name)
    return Document(
        name=" ".join(segment.in_name(segment.words_of(full_name))),
        parts=" ".join(segment.in_name(segment.parts_of(full_name))),
        body=body.words,
        chars=body.chars,
        marks=" ".join(
            [
                mark_of_owner(repo.owner_id),
                mark_of_repository(repo.id),
                PRIVATE if repo.is_private else PUBLIC,
                GATED if repo.gated else OPEN,
                *([mark_of_sdk(repo.sdk)] if repo.sdk else []),
                *sorted(mark_of_tag(tag) for tag in filters),
            ]
        ),
    )


PUBLIC, PRIVATE, GATED, OPEN = "vpublic", "vprivate", "ggated", "gopen"


def mark_of_owner(account_id: int) -> str:
    return f"o{account_id}"


def mark_of_repository(repo_id: int) -> str:
    return f"r{repo_id}"


def mark_of_sdk(sdk: str) -> str:
    return mark_of_tag(f"sdk:{sdk}")


def mark_of_tag(tag: str) -> str:
    """A tag as one word of the index, whatever letters it is written with."""
    return "t" + hashlib.blake2b(tag.encode(), digest_size=8).hexdigest()


def may_be_mark(word: str) -> bool:
    """Whether a word of a text or a query could be one of the marks above. Its letters and digits are apart: ``o7`` are two words."""
    return word in (PUBLIC, PRIVATE, GATED, OPEN) or (len(word) == 17 and word[0] == "t")
