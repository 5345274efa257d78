"""Mixing by weight: which documents of each source stay, so that the sources' tokens stand to each other as asked.

A choice is a function of the seed and the document's id alone: adding a source does not reshuffle another, and two runners choose alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """``tokens`` of ``of_tokens`` are wanted of a source."""

    tokens: int
    of_tokens: int


def shares(tokens: Mapping[str, int], weights: Mapping[str, float], *, total: int | None = None) -> dict[str, Share]:
    """How much of each source to take: in proportion to the weights, as much as the scarcest source allows, nothing twice.

    Args:
        tokens: what each source has.
        weights: what each source shall have in the mixture, in any unit; a source without one has weight 0.
        total: no more than so many tokens together.

    Raises:
        ValueError: no source with a weight has tokens.
    """
    wanted = {source: weights.get(source, 0.0) for source in tokens}
    some = [source for source, weight in wanted.items() if weight > 0 and tokens[source] > 0]
    if not some:
        raise ValueError("No source that has a weight has any tokens left: the mixture would be empty.")
    sum_of_weights = sum(wanted[source] for source in some)
    together = min(tokens[source] * sum_of_weights / wanted[source] for source in some)
    if total is not None:
        together = min(together, total)
    return {
        source: Share(
            int(together * wanted[source] / sum_of_weights) if source in some else 0,
            tokens[source],
        )
        for source in tokens
    }


def rank(seed: int, document_id: str) -> int:
    """A number in [0, 2 ** 64) by which documents are drawn, the smallest first."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{document_id}".encode(), digest_size=8).digest())


def choose(ranks: Sequence[int], tokens: Sequence[int], share: Share) -> list[bool]:
    """The documents of one source that stay: by rank, until the wanted tokens are reached (the one that passes the mark still stays)."""
    chosen = [False] * len(ranks)
    if share.tokens >= share.of_tokens:
        return [True] * len(ranks)
    taken = 0
    for row in sorted(range(len(ranks)), key=lambda row: (ranks[row], row)):
        if taken >= share.tokens:
            break
        chosen[row] = True
        taken += tokens[row]
    return chosen
