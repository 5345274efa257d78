"""Statements against the published protocol buffers of in-toto's attestation framework and of SLSA provenance v1."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from headwater.compute import provenance
from headwater.kernel import utcnow


def validate(statement: dict[str, Any]) -> None:
    """Every field is known to the published schemas, and what must be there is."""
    found = json_format.Parse(json.dumps(statement), statement_pb2.Statement())
    Statement.copy_from_pb(found).validate()
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    predicate = json_format.Parse(json.dumps(statement["predicate"]), provenance_pb2.Provenance())
    for each in [*predicate.build_definition.resolved_dependencies, *predicate.run_details.byproducts]:
        ResourceDescriptor.copy_from_pb(each).validate()
    assert predicate.build_definition.build_type
    assert predicate.run_details.builder.id
    for each in [*statement["subject"], *statement["predicate"]["buildDefinition"]["resolvedDependencies"]]:
        for name, digest in each["digest"].items():
            assert re.fullmatch({"sha256": "[0-9a-f]{64}", "gitCommit": "[0-9a-f]{40}"}[name], digest), digest


def facts(**more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "base_url": "https://hub.example.edu",
        "run_id": 7,
        "kind": "train",
        "resolved": {"kind": "train", "with": {"steps": 3}, "seed": 1},
        "recipe_text": "kind: train",
        "recipe_digest": "a" * 64,
        "recipe_repo": "datasets/ada/recipes",
        "recipe_commit": "b" * 40,
        "recipe_path": "recipes/train.yaml",
        "inputs": [("base", "models/ada/tiny", "c" * 40), ("text", "datasets/ada/text", "d" * 40)],
        "attempt": 2,
        "started_at": utcnow(),
        "environment": {"python": "3.11", "headwater": "0.1", "packages": ["torch==2.13.0"], "cpus": 2},
    }
    return provenance.facts(**given | more)


@pytest.mark.parametrize(
    "told",
    [
        facts(),
        facts(recipe_repo=None, recipe_commit=None, recipe_path=None, inputs=[], environment={}, started_at=None),
    ],
)
def test_a_statement_is_what_the_schemas_say(told: dict[str, Any]) -> None:
    subjects = {"model.safetensors": "e" * 64, "README.md": "f" * 64}
    validate(provenance.statement(told, subjects))
    energy = {"kwh": 0.001, "power": "modelled"}
    whole = provenance.statement(told, subjects, energy=energy, finished_on=utcnow())
    validate(whole)
    assert [each["name"] for each in whole["subject"]] == sorted(subjects)


def test_what_is_no_statement_is_refused_by_the_same_check() -> None:
    good = provenance.statement(facts(), {"x": "e" * 64})
    with pytest.raises((ValueError, json_format.ParseError)):
        validate({**good, "subject": []})
    with pytest.raises((ValueError, json_format.ParseError)):
        validate({**good, "extra": 1})
    with pytest.raises((ValueError, json_format.ParseError)):
        validate({**good, "predicate": {**good["predicate"], "extra": 1}})
    with pytest.raises(AssertionError, match="short"):
        validate(provenance.statement(facts(), {"x": "short"}))


def test_inputs_are_named_by_their_addresses_and_commits() -> None:
    found = provenance.statement(facts(), {"x": "e" * 64})
    depends = {
        each["name"]: (each["uri"], each["digest"])
        for each in found["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    assert depends == {
        "recipe": ("https://hub.example.edu/api/v1/runs/7/recipe", {"sha256": "a" * 64}),
        "recipe-repository": ("https://hub.example.edu/datasets/ada/recipes", {"gitCommit": "b" * 40}),
        "base": ("https://hub.example.edu/ada/tiny", {"gitCommit": "c" * 40}),
        "text": ("https://hub.example.edu/datasets/ada/text", {"gitCommit": "d" * 40}),
    }
