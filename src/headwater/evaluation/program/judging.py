"""The metric ``checked``: an item that carries its own check, as in ``headwater.evaluation.checks``, is 1 where the answer passes.

The target of such a task is the item as JSON: ``{{ {"form": form, "answer": answer, "check": check} | tojson }}``.
"""

from __future__ import annotations

import json
from typing import Any

from headwater.evaluation import checks
from headwater.evaluation.program import sandbox
from headwater.evaluation.program.problems import CannotEvaluate

METRIC = "checked"


def register() -> None:
    """Make the metric known to lm-eval."""
    import lm_eval.api.metrics  # noqa: F401 -- the means that it is taken by
    from lm_eval.api.registry import metric_registry, register_metric

    if METRIC not in metric_registry:
        register_metric(metric=METRIC, higher_is_better=True, output_type="generate_until", aggregation="mean")(checked)


def checked(references: list[str], predictions: list[str], **_: Any) -> float:
    """Raises: CannotEvaluate."""
    # lm-eval asks again in another form after a TypeError: none leaves here.
    try:
        item = json.loads(references[0])
        return float(judge(item, predictions[0]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        what = f"An item's target is no check that is known here ({type(exc).__name__}: {exc})."
        raise CannotEvaluate("bad_check", what) from exc


def judge(item: dict[str, Any], text: str) -> bool:
    """Raises: CannotEvaluate: code would have to run, and this machine has no sandbox."""
    try:
        return checks.passes(item, text)
    except checks.NeedsSandbox:
        pass
    try:
        return sandbox.holds(checks.program_for(item["check"], text))
    except sandbox.NoSandbox as exc:
        what = "Items are judged by running the model's code, and this machine cannot confine it (Linux on x86-64 or ARM64 can)."
        raise CannotEvaluate("no_sandbox", f"{what} Name tasks without such items.") from exc
