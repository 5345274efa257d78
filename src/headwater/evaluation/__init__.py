"""Evaluation: suites asked of models and endpoints by runs, what came out with its standard errors, and leaderboards.

A run of kind ``evaluate`` does the work with lm-eval; its program, and all that it imports, lies in ``evaluation.program``, which
the server never loads. What a run found out joins the tables here in the transaction that ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.web import Site

__all__ = ["install"]

NEEDS = ("lm_eval", "pyarrow", "torch", "transformers")

_EXAMPLE = """kind: evaluate
name: "Evaluation: $name"
inputs:
  model: {repo: $model}
  suite: {repo: $dataset}   # a dataset of lm-eval tasks, such as `headwater suite publish headwater-bilingual` makes
outputs:
  results: {repo: datasets/$owner/$name-results}
resources: {cpus: 2, memory_gb: 4}
with:
  batch_size: 8
"""


def install(site: Site) -> None:
    """Register the kind of run and what its end does, and add to the pages of models and datasets."""
    from headwater import compute
    from headwater.evaluation import checking, pages, service
    from headwater.hub.models import RepoKind
    from headwater.hub.pages import marks

    compute.register(
        compute.Kind(
            name="evaluate",
            model="headwater.evaluation.recipe:EvaluateRecipe",
            program="headwater.evaluation.program",
            extra="evaluate",
            needs=NEEDS,
            check=checking.Check(site),
            grants=service.grants_of,
            output_type="dataset",
            panel="evaluation/run.html",
            panel_data=pages.panel_of,
            labels={"en": "Evaluation", "zh-CN": "评测"},
            example=_EXAMPLE,
            example_of=("model", "dataset"),
        )
    )
    compute.on_end("evaluate", service.take_result)
    marks.add_section(marks.Section("evaluation/section.html", pages.load_section, frozenset({RepoKind.MODEL})))
    marks.add_tab(marks.MoreTab("evaluations", "evaluation.tab", frozenset({RepoKind.MODEL})))
    marks.add_tab(marks.MoreTab("leaderboard", "evaluation.leaderboard", frozenset({RepoKind.DATASET})))
