"""What fine-grained tokens need to know of repositories, which live above: lent by the hub when the site is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headwater.db import Tx
from headwater.kernel import Actor


@dataclass(frozen=True)
class RepositoryNames:
    """A site part.

    ``find`` gives the id of ``[datasets/|spaces/]namespace/name`` if the actor may read it, and raises the hub's own refusal
    otherwise. ``paths`` gives the present address of each id, and leaves out those that are no more, or hidden from the actor.
    """

    find: Callable[[Tx, Actor, str], int]
    paths: Callable[[Tx, Actor, Iterable[int]], dict[int, str]]
