"""Recipes to begin from: a kind's example, about a repository of this site."""

from __future__ import annotations

from string import Template

from headwater.compute.kinds import Kind

_NONE = """kind: $kind
name: my first run
inputs:
  # name: {repo: datasets/namespace/name, revision: main}
outputs:
  # name: {repo: namespace/name}
resources: {cpus: 1, memory_gb: 2}
with:
"""


def fill(kind: Kind | None, owner: str, of: tuple[str, str] | None = None) -> str:
    """A kind's example with outputs of ``owner``'s.

    Args:
        of: what the run is about, as its type and its name with namespace; others are named so that it shows that they are to be named.
    """
    repos = {"model": f"models/{owner}/a-model", "dataset": f"datasets/{owner}/a-dataset"}
    name = "a-model"
    if of is not None:
        of_kind, path = of
        repos[of_kind], name = f"{of_kind}s/{path}", path.partition("/")[2]
    text = (kind.example if kind is not None else "") or _NONE
    return Template(text).safe_substitute(repos, kind="" if kind is None else kind.name, owner=owner, name=name)
