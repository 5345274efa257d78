"""The graph that cards draw: what a repository was made of and what was made of it, as far as somebody may see.

What they may not see is left out before anything is followed further, so that nothing behind it can be reached through it: a hidden repository looks
like a name that is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headwater import licensing
from headwater.compute.rows import Run
from headwater.compute.service.reading import Around, find_around
from headwater.db import Tx
from headwater.governance import store
from headwater.governance.models import CARRYING, Kept, Link
from headwater.hub.models import RepoKind, Repository
from headwater.kernel import Actor, RepoId
from headwater.serving.models import Endpoint
from headwater.serving.service import list_visible

MOST_ABOVE = 2000
MOST_SHOWN = 150
MOST_DEEP = 60
MOST_RUNS = 60


@dataclass(frozen=True)
class Arrow:
    """``child`` names ``parent``, which is an id or, where it is not here, a name as the card has it."""

    child: str
    parent: str
    way: str
    relation: str


@dataclass
class Graph:
    """``repos`` and ``grades`` by node id, which is a repository's path; ``absent`` are names that lead nowhere for this reader."""

    root: str
    repos: dict[str, Repository] = field(default_factory=dict)
    grades: dict[str, Kept] = field(default_factory=dict)
    absent: dict[str, Link] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    is_cut: bool = False

    def grade_behind(self, endpoint: Endpoint) -> Kept | None:
        """The grade of the model that is served, where it may be seen."""
        name = next((name for name, repo in self.repos.items() if repo.id == endpoint.repo_id), None)
        return None if name is None else self.grades.get(name)

    def lineage(self) -> licensing.Lineage:
        """For verdicts: nodes with their licences, and the arrows that carry conditions."""
        nodes = [node_of(name, repo, self.grades.get(name)) for name, repo in self.repos.items()]
        nodes += [licensing.Node(name, link.name.rpartition("/")[2]) for name, link in self.absent.items()]
        edges = [licensing.Edge(arrow.child, arrow.parent, arrow.way) for arrow in self.arrows if arrow.way in CARRYING]
        said = {(edge.child, edge.parent) for edge in edges}
        for run in self.runs:
            edges += [edge for edge in self._through(run) if (edge.child, edge.parent) not in said]
        return licensing.Lineage(nodes, list(dict.fromkeys(edges)))

    def _through(self, run: str) -> list[licensing.Edge]:
        """What a run made is made of what it read, whether a card says so or not."""
        if self.runs[run].kind not in MAKING:
            return []
        unused = _compared_with(self.runs[run])
        read = [
            arrow.parent
            for arrow in self.arrows
            if arrow.child == run
            and self.repos[arrow.parent].kind is not RepoKind.SPACE  # code that ran leaves nothing of itself behind
            and arrow.parent not in unused
        ]
        made = [arrow.child for arrow in self.arrows if arrow.parent == run]
        return [
            licensing.Edge(child, parent, _way(self.repos[parent], self.repos[child]))
            for child in made
            for parent in read
            if child != parent
        ]


MAKING = ("corpus", "train", "convert")
"""Kinds of runs whose outputs are made of their inputs; an evaluation's results are not."""


def _compared_with(run: Run) -> set[str]:
    """Paths of what a run read only to keep it out of what it made: evaluation data, of which nothing is in a corpus."""
    own, inputs = run.resolved.get("with"), run.resolved.get("inputs")
    if not isinstance(own, Mapping) or not isinstance(inputs, Mapping):
        return set()

    def named(key: str, field_: str) -> set[str]:
        parts = own.get(key)
        found = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list | tuple) else []
        if key == "steps":
            found = [part for part in found if part.get("op") == "decontaminate"]
        return {str(part[field_]) for part in found if field_ in part}

    names = named("steps", "input") - named("sources", "input")
    repos = [inputs[name].get("repo") for name in names if isinstance(inputs.get(name), Mapping)]
    return {repo.removeprefix("models/") for repo in repos if isinstance(repo, str)}


def _way(parent: Repository, child: Repository) -> str:
    if parent.kind is RepoKind.DATASET and child.kind is RepoKind.MODEL:
        return licensing.DATA
    if parent.kind is RepoKind.MODEL and child.kind is RepoKind.DATASET:
        return licensing.OUTPUTS
    return licensing.DERIVED


def node_of(name: str, repo: Repository, grade: Kept | None) -> licensing.Node:
    if grade is None:
        return licensing.Node(name, repo.name.name)
    return licensing.Node(name, repo.name.name, grade.licences, grade.declared, grade.texts, grade.shows)


def absent_id(link: Link) -> str:
    """A name that is not here, apart from every path."""
    return f"{link.kind}:{link.name}"


def above(
    tx: Tx, actor: Actor, repo: Repository, *, links: Sequence[Link] | None = None, most: int = MOST_ABOVE
) -> Graph:
    """What ``repo`` was made of, and what that was. ``links`` are its own where they are not kept yet."""
    graph = Graph(repo.path, {repo.path: repo})
    paths = {repo.id: repo.path}
    layer: dict[RepoId, Sequence[Link]] = {
        repo.id: links if links is not None else store.links_of_many(tx, [repo.id])[repo.id]
    }
    for _ in range(MOST_DEEP):
        wanted = {(link.kind, link.key) for found in layer.values() for link in found}
        here = store.resolve(tx, actor, wanted)
        fresh: dict[RepoId, Repository] = {}
        for child, found in layer.items():
            for link in found:
                parent = here.get((link.kind, link.key))
                if parent is None:
                    name = absent_id(link)
                    graph.absent.setdefault(name, link)
                elif parent.id not in paths and len(paths) >= most:
                    graph.is_cut = True
                    continue
                else:
                    name = parent.path
                    if parent.id not in paths:
                        paths[parent.id] = name
                        graph.repos[name] = parent
                        fresh[parent.id] = parent
                graph.arrows.append(Arrow(paths[child], name, link.way, link.relation))
        if not fresh:
            break
        layer = dict(store.links_of_many(tx, list(fresh)))
    _add_makers(tx, actor, graph, paths, most)
    _add_grades(tx, graph, paths)
    return graph


def around(tx: Tx, actor: Actor, repo: Repository, *, most: int = MOST_SHOWN) -> Graph:
    """As ``above``, and what was made of it in turn."""
    graph = above(tx, actor, repo, most=most // 2)
    paths = {each.id: name for name, each in graph.repos.items()}
    layer = [repo.id]
    for _ in range(MOST_DEEP):
        keys = store.keys_of_many(tx, layer)
        naming = store.linking_to(tx, set(keys), most=most + 1, actor=actor) if keys else []
        graph.is_cut = graph.is_cut or len(naming) > most
        known = store.repositories(tx, [child for child, _ in naming if child not in paths])
        fresh: list[RepoId] = []
        for child, link in naming[:most]:
            if child not in paths:
                if len(paths) >= most:
                    graph.is_cut = True
                    continue
                if child not in known:
                    continue
                paths[child] = known[child].path
                graph.repos[paths[child]] = known[child]
                fresh.append(child)
            arrow = Arrow(paths[child], paths[keys[link.kind, link.key]], link.way, link.relation)
            if arrow not in graph.arrows:
                graph.arrows.append(arrow)
        fresh += _add_readers(tx, actor, graph, paths, layer, most)
        if not fresh:
            break
        layer = fresh
    _add_endpoints(tx, actor, graph, paths)
    _add_grades(tx, graph, paths)
    return graph


def _add_makers(tx: Tx, actor: Actor, graph: Graph, paths: dict[RepoId, str], most: int) -> None:
    """Runs that made what is there, and what they read, however many runs back."""
    for _ in range(MOST_DEEP):
        found = find_around(tx, actor, list(paths), most=MOST_RUNS)
        makers = [each for each in found if any(repo_id in paths for repo_id in each.made)]
        fresh = {RepoId(repo_id) for each in makers for repo_id in each.read} - paths.keys()
        known = store.visible_repositories(tx, actor, fresh) if fresh else {}
        for repo_id, repo in known.items():
            if len(paths) < most:
                paths[repo_id] = repo.path
                graph.repos[repo.path] = repo
        for each in makers:
            _add_run(graph, paths, each)
        if not known:
            return


def _add_readers(
    tx: Tx, actor: Actor, graph: Graph, paths: dict[RepoId, str], layer: Sequence[RepoId], most: int
) -> list[RepoId]:
    """Runs that read one of ``layer``, with what they made: evaluations and conversions among them. Returns what is new by that."""
    wanted = set(layer)
    found = [
        each for each in find_around(tx, actor, layer, most=MOST_RUNS) if wanted & {RepoId(one) for one in each.read}
    ]
    unknown = {RepoId(repo_id) for each in found for repo_id in each.made} - paths.keys()
    fresh: list[RepoId] = []
    for repo_id, repo in (store.visible_repositories(tx, actor, unknown) if unknown else {}).items():
        if len(paths) >= most:
            graph.is_cut = True
            break
        paths[repo_id] = repo.path
        graph.repos[repo.path] = repo
        fresh.append(repo_id)
    for each in found:
        _add_run(graph, paths, each)
    return fresh


def _add_run(graph: Graph, paths: Mapping[RepoId, str], each: Around) -> None:
    name = f"run:{each.run.id}"
    graph.runs[name] = each.run
    for repo_id in each.read:
        if RepoId(repo_id) in paths:
            _draw(graph, Arrow(name, paths[RepoId(repo_id)], "run", "read"))
    for repo_id in each.made:
        if RepoId(repo_id) in paths:
            _draw(graph, Arrow(paths[RepoId(repo_id)], name, "run", "made"))


def _add_endpoints(tx: Tx, actor: Actor, graph: Graph, paths: Mapping[RepoId, str]) -> None:
    models = [repo.id for repo in graph.repos.values() if repo.kind is RepoKind.MODEL]
    for served in list_visible(tx, actor, repo_ids=models):
        endpoint = served.endpoint
        if len(graph.endpoints) < MOST_RUNS:
            name = f"endpoint:{endpoint.model}"
            graph.endpoints[name] = endpoint
            _draw(graph, Arrow(name, paths[endpoint.repo_id], "serves", "serves"))


def _draw(graph: Graph, arrow: Arrow) -> None:
    if arrow not in graph.arrows:
        graph.arrows.append(arrow)


def _add_grades(tx: Tx, graph: Graph, paths: Mapping[RepoId, str]) -> None:
    missing = [repo_id for repo_id, name in paths.items() if name not in graph.grades]
    graph.grades |= {paths[repo_id]: grade for repo_id, grade in store.get_grades(tx, missing).items()}
