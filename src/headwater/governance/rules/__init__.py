"""The rules of openness, in the order in which pages show them. Imported when first asked for: the server starts without them."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module

from headwater.governance.ruling import Rule

CRITERIA = (
    "weights",
    "architecture",
    "code",
    "inference_code",
    "training_code",
    "evaluation_code",
    "preprocessing_code",
    "data",
    "data_sources",
    "training_data",
    "evaluation_data",
    "base_weights",
    "base_data",
    "intermediate_checkpoints",
    "evaluation_results",
    "model_card",
    "data_card",
    "technical_report",
    "research_paper",
    "code_documentation",
    "hardware",
    "licence",
    "lineage_licences",
    "reproduction",
    "sample_outputs",
    "supporting_libraries",
)


@lru_cache(maxsize=1)
def all_rules() -> Sequence[Rule]:
    """Each lies in a module that is called by its criterion."""
    return tuple(import_module(f"headwater.governance.rules.{name}").RULE for name in CRITERIA)


@lru_cache(maxsize=1)
def by_criterion() -> Mapping[str, Rule]:
    return {rule.criterion: rule for rule in all_rules()}


@lru_cache(maxsize=1)
def version() -> str:
    """Of all rules together: what was graded by others is graded again."""
    said = " ".join(f"{rule.criterion}:{rule.version}" for rule in all_rules())
    return hashlib.sha256(said.encode(), usedforsecurity=False).hexdigest()[:16]


def rules_for(kind: str) -> list[Rule]:
    return [rule for rule in all_rules() if kind in rule.kinds]
