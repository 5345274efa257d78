"""Which facet a tag belongs to, and how it reads there."""

from __future__ import annotations

from headwater.hub.models import RepoKind

FACETS: dict[RepoKind, tuple[str, ...]] = {
    RepoKind.MODEL: ("pipeline_tag", "library", "language", "license", "dataset", "base_model", "arxiv", "region"),
    RepoKind.DATASET: (
        "task_categories",
        "language",
        "license",
        "size_categories",
        "format",
        "task_ids",
        "multilinguality",
        "annotations_creators",
        "language_creators",
        "source_datasets",
        "arxiv",
        "region",
    ),
    RepoKind.SPACE: ("license", "model", "dataset", "region"),
}
_RELATIONS = ("adapter:", "finetune:", "merge:", "quantized:")


def facet_of(kind: RepoKind, tag: str) -> tuple[str | None, str]:
    """Facet and label of a tag; no facet for free words."""
    facet, colon, label = tag.partition(":")
    if not colon or facet not in FACETS[kind] or label.startswith(_RELATIONS):
        return None, tag
    return facet, label
