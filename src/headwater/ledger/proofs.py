"""An entry with what proves that it is in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.db import Tx
from headwater.ledger.sequencer import Leaf, SignedCheckpoint, find_checkpoint, find_leaf, tree_of


@dataclass(frozen=True)
class Proven:
    leaf: Leaf
    proof: Sequence[bytes]
    checkpoint: SignedCheckpoint


def prove(tx: Tx, index: int) -> Proven | None:
    """The entry at ``index`` in the latest checkpoint; None where it is not there, or not signed yet."""
    checkpoint = find_checkpoint(tx)
    if checkpoint is None or not 0 <= index < checkpoint.size:
        return None
    leaf = find_leaf(tx, index)
    if leaf is None:
        return None
    return Proven(leaf, tree_of(tx, checkpoint.size).inclusion_proof(index), checkpoint)
