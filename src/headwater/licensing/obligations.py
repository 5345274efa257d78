"""What a licence asks of those who pass a thing on: data with clauses, each checked against the licence's own text.

Only what stands in ``obligations.toml`` is known. A licence that is not there, or has no text in the index, is *not checked*; nothing is
concluded from it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headwater.licensing.index import described

# How far the permission reaches: who passes the thing on cannot give more than they have.
RESTRICTIONS = (
    "use_policy",
    "non_commercial",
    "user_limit",
    "revenue_limit",
    "territory",
    "output_training",
    "remote_restriction",
    "computational_use",
)
# To be done by whoever passes it on.
DUTIES = ("copy_text", "notice", "state_changes", "attribution", "credit", "name_prefix", "source", "large_user_credit")
FORBIDS = ("no_derivatives",)
RECIPROCAL = ("share_alike",)
# Said of what comes out of it; nobody is asked for anything.
STATEMENTS = ("outputs_free", "results_free", "distilled_is_derived", "patent_end")
CONDITIONS = (*RESTRICTIONS, *DUTIES, *FORBIDS, *RECIPROCAL, *STATEMENTS)


@dataclass(frozen=True)
class Accepted:
    """A licence that may stand in the place of a share-alike one."""

    key: str
    clause: str
    quote: str


@dataclass(frozen=True)
class Condition:
    """Args:
    what: one of ``CONDITIONS``.
    clause: where in the licence.
    quote: the words it stands on, as they are there.
    value: what must be shown or begin the name (alternatives apart by ``|``), or how many.
    """

    what: str
    clause: str
    quote: str
    value: str = ""
    accepts: Sequence[Accepted] = ()


@dataclass(frozen=True)
class Terms:
    """A licence's conditions; ``is_checked`` is false where nobody has compared them with its text."""

    key: str
    conditions: Sequence[Condition]
    is_checked: bool

    def having(self, *what: str) -> list[Condition]:
        return [each for each in self.conditions if each.what in what]


@lru_cache(maxsize=1)
def _table() -> tuple[Mapping[str, Terms], frozenset[str]]:
    data: dict[str, Any] = tomllib.loads((Path(__file__).parent / "obligations.toml").read_text())
    found: dict[str, Terms] = {}
    for key, given in data["licence"].items():
        given = data["licence"][given["same_as"]] if "same_as" in given else given  # noqa: PLW2901
        found[key] = Terms(key, tuple(_condition(each) for each in given["conditions"]), is_checked=True)
    return found, frozenset(data["open_content"])


def _condition(given: Mapping[str, Any]) -> Condition:
    accepts = tuple(Accepted(each["key"], each["clause"], each["quote"]) for each in given.get("accepts", ()))
    return Condition(given["what"], given["clause"], given["quote"], given.get("as", ""), accepts)


def terms_of(key: str) -> Terms:
    """Of any licence at all; what is not known says so."""
    found = _table()[0].get(key)
    return found if found is not None else Terms(key, (), is_checked=False)


def checked_keys() -> list[str]:
    return sorted(_table()[0])


def is_open(key: str) -> bool:
    """Whether it is approved by the Open Source Initiative, or stands in the list of open terms for data, documents and models."""
    licence = described()[1].get(key)
    return (licence is not None and licence.is_osi) or key in _table()[1]


# Ids that cards use and SPDX does not have. Several keys: the id does not say which version.
_IDS: Mapping[str, Sequence[str]] = {
    "llama2": ("llama-2-license-2023",),
    "llama3.1": ("llama-3.1-license-2024",),
    "llama3.2": ("llama-3.2-license-2024",),
    "llama3.3": ("llama-3.3-license-2024",),
    "llama4": ("llama-4-cla-2025",),
    "gemma": ("gemma-tou-2025-03-24", "gemma-tou-2024-04-01"),
    "qwen": ("qwen-2024",),
    "tongyi-qianwen": ("tongyi-qianwen-2023",),
    "deepseek": ("deepseek-la-1.0",),
    "deepseek-license": ("deepseek-la-1.0",),
    "bigscience-bloom-rail-1.0": ("bigscience-rail-1.0",),
    "bigscience-openrail-m": ("bigscience-open-rail-m",),
    "bigcode-openrail-m": ("bigcode-open-rail-m-v1",),
    "creativeml-openrail-m": (),
    "openmdw": ("openmdw-1.0",),
    "bsd-3-clause": ("bsd-new",),
    "bsd-2-clause": ("bsd-simplified",),
    "bsd-3-clause-clear": ("clear-bsd",),
    "bsl-1.0": ("boost-1.0",),
    "pddl": ("pddl-1.0",),
    "odbl": ("odbl-1.0",),
    "odc-by": ("odc-by-1.0",),
    "c-uda": ("c-uda-1.0",),
    "gfdl": ("gfdl-1.3",),
    "nvidia-open-model-license": ("nvidia-open-model-2025-04-28",),
    "stabilityai-ai-community": ("stability-ai-community-2024",),
    "flux-1-dev-non-commercial-license": ("flux-1-nc",),
}
_ENDINGS = re.compile(r"-(?:only|or-later)$|\+$")


@lru_cache(maxsize=1)
def _by_id() -> Mapping[str, str]:
    found = {}
    for each in described()[0]:
        if not each.part_of:
            found[each.key] = each.key
    for each in described()[0]:
        if not each.part_of:
            found[_ENDINGS.sub("", each.spdx.lower())] = each.key
    return found


def keys_of(declared: str) -> Sequence[str]:
    """The licences that an id in a card may mean, the likeliest first; none where its text is not known here."""
    name = _ENDINGS.sub("", declared.strip().lower().replace(" ", "-"))
    if name in _IDS:
        return _IDS[name]
    found = _by_id().get(name)
    return () if found is None else (found,)


def same_licence(declared: str, key: str) -> bool:
    """Whether a text that was found to be ``key`` is what a card calls ``declared``; its English or Chinese half alone is."""
    return any(key in (each, f"{each}-en") for each in keys_of(declared))


def shown_words(text: str) -> frozenset[str]:
    """Those of all the words that some licence wants shown, which ``text`` shows."""
    plain = " ".join(text.split()).casefold()
    wanted = {
        word
        for terms in _table()[0].values()
        for each in terms.having("credit", "large_user_credit")
        for word in each.value.split("|")
    }
    return frozenset(word for word in wanted if word.casefold() in plain)
