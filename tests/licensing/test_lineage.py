"""Verdicts along lineages: forty made by hand, ten thousand by a machine, and what no lineage may do."""

from __future__ import annotations

import random
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.licensing import DATA, DERIVED, OUTCOMES, OUTPUTS, Edge, Lineage, Node, terms_of, worst
from headwater.licensing.obligations import CONDITIONS, checked_keys

CHAINS = tomllib.loads((Path(__file__).parent / "chains.toml").read_text("utf-8"))["chain"]
STEPS = {">": DERIVED, "~>": DATA, "*>": OUTPUTS}


def made(text: str) -> Node:
    name, _, licences = text.partition("=")
    keys = tuple(key for key in licences.split("+") if key)
    return Node(name, name, keys, licences)


def lineage_of(chain: dict[str, Any]) -> tuple[Lineage, str]:
    parts = re.split(r"\s+(~>|\*>|>)\s+", chain["line"])
    nodes = [made(part) for part in parts[::2]]
    edges = [Edge(nodes[n + 1].id, nodes[n].id, STEPS[step]) for n, step in enumerate(parts[1::2])]
    for join in chain.get("joins", ()):
        child, parent, way, thing = join.split()
        nodes.append(made(thing))
        edges.append(Edge(child, parent, way))
    return Lineage(nodes, edges), parts[-1].partition("=")[0]


@pytest.mark.parametrize("chain", CHAINS, ids=[chain["about"] for chain in CHAINS])
def test_forty_chains_and_their_answers(chain: dict[str, Any]) -> None:
    lineage, at = lineage_of(chain)
    found = lineage.judge(at)
    assert worst(found) == chain["outcome"], found
    said = {f"{each.outcome} {each.what} {each.licence}" for each in found}
    assert set(chain["finds"]) <= said
    for each in found:
        # Each names a chain that is there, from where the condition comes to the thing itself, and a clause with its words.
        assert each.chain[-1] == at
        assert all(
            any(edge.parent == above for edge in lineage.parents[below])
            for above, below in zip(each.chain, each.chain[1:], strict=False)
        )
        if each.outcome != "unknown":
            assert each.clause
            assert any(each.quote == condition.quote for condition in terms_of(each.licence).conditions)


def test_there_are_forty_of_them() -> None:
    assert len(CHAINS) >= 40
    assert len({chain["line"] + str(chain.get("joins")) for chain in CHAINS}) == len(CHAINS)
    assert {chain["outcome"] for chain in CHAINS} == set(OUTCOMES)


def test_ten_thousand_things_are_judged_in_time_that_grows_with_their_number() -> None:
    def took(n: int) -> float:
        chance = random.Random(7)
        keys = ["apache-2.0", "mit", "llama-3.1-license-2024", "cc-by-nc-4.0", "gpl-3.0", "qwen-2024", "s-lab-1.0"]
        nodes = [Node(str(i), f"m{i}", (chance.choice(keys),)) for i in range(n)]
        edges = [
            Edge(str(i), str(chance.randrange(max(0, i - 50), i)), chance.choice([DERIVED, DERIVED, DATA]))
            for i in range(1, n)
            for _ in range(chance.choice([1, 1, 2, 3]))
        ]
        began = time.process_time()
        lineage = Lineage(nodes, edges)
        found = [lineage.judge(str(i)) for i in range(0, n, n // 100)]
        spent = time.process_time() - began
        assert found[-1]
        assert len(found[-1][0].chain) >= 2
        return spent

    took(500)
    small, large = took(2_000), took(10_000)
    assert large < 12 * small + 1


def test_a_chain_of_ten_thousand_keeps_what_its_first_asks_for() -> None:
    n = 10_000
    nodes = [Node("0", "m0", ("cc-by-nc-4.0",)), *(Node(str(i), f"m{i}", ("mit",)) for i in range(1, n))]
    found = Lineage(nodes, [Edge(str(i + 1), str(i)) for i in range(n - 1)]).judge(str(n - 1))
    conflict = next(each for each in found if each.outcome == "conflict")
    assert conflict.what == "non_commercial"
    assert conflict.chain[-1] == str(n - 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["mit", "gpl-3.0", "cc-by-nc-4.0", "llama-2-license-2023", "odbl-1.0", ""]),
        min_size=2,
        max_size=8,
    ),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from([DERIVED, DATA, OUTPUTS])), max_size=20),
    st.randoms(),
)
def test_any_graph_has_one_answer_whatever_the_order(
    licences: list[str], arrows: list[tuple[int, int, str]], chance: random.Random
) -> None:
    """Circles too; and another order of things and arrows changes no word of it but the chain."""
    nodes = [Node(str(n), f"m{n}", (key,) if key else ()) for n, key in enumerate(licences)]
    edges = [Edge(str(a), str(b), way) for a, b, way in arrows if max(a, b) < len(nodes)]
    first = Lineage(nodes, edges)
    shuffled = chance.sample(nodes, len(nodes)), chance.sample(edges, len(edges))
    second = Lineage(*shuffled)
    for node in nodes:
        one = {(v.rule, v.outcome, v.what, v.licence) for v in first.judge(node.id)}
        other = {(v.rule, v.outcome, v.what, v.licence) for v in second.judge(node.id)}
        assert one == other


def test_conditions_are_of_known_kinds_and_every_licence_has_a_text() -> None:
    for key in checked_keys():
        for condition in terms_of(key).conditions:
            assert condition.what in CONDITIONS, key
            assert condition.clause, key
