"""Who made what out of what: an in-toto Statement v1 with the predicate SLSA Provenance v1. Only the standard library.

The run's process writes one into each commit it makes, and the site serves one over all of them, by the same functions.

Sources: in-toto attestation framework v1.0 (Statement, ResourceDescriptor), SLSA v1.0 (buildDefinition, runDetails).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


def facts(
    *,
    base_url: str,
    run_id: int,
    kind: str,
    resolved: Mapping[str, Any],
    recipe_text: str,
    recipe_digest: str,
    recipe_repo: str | None,
    recipe_commit: str | None,
    recipe_path: str | None,
    inputs: Sequence[tuple[str, str, str]],
    attempt: int,
    started_at: datetime | None,
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """All that a statement needs besides its subjects, as JSON values."""
    where = f"{base_url}/api/v1/runs/{run_id}"
    recipe: dict[str, Any] = {"name": "recipe", "uri": f"{where}/recipe", "digest": {"sha256": recipe_digest}}
    depends = [
        {"name": name, "uri": f"{base_url}/{path.removeprefix('models/')}", "digest": {"gitCommit": commit}}
        for name, path, commit in inputs
    ]
    if recipe_repo is not None and recipe_commit is not None:
        recipe["annotations"] = {"path": recipe_path}
        depends.append(
            {
                "name": "recipe-repository",
                "uri": f"{base_url}/{recipe_repo.removeprefix('models/')}",
                "digest": {"gitCommit": recipe_commit},
            }
        )
    return {
        "build_type": f"{base_url}/api/v1/recipes/{kind}/schema",
        "builder": base_url,
        "invocation": where,
        "recipe": dict(resolved),
        "depends": [recipe, *depends],
        "attempt": attempt,
        "started_on": None if started_at is None else _moment(started_at),
        "environment": dict(environment),
    }


def statement(
    told: Mapping[str, Any],
    subjects: Mapping[str, str],
    *,
    energy: Mapping[str, Any] | None = None,
    finished_on: datetime | None = None,
) -> dict[str, Any]:
    """A statement about files: their paths with the sha256 of each."""
    environment = dict(told["environment"])
    packages = environment.pop("packages", None)
    metadata = {"invocationId": told["invocation"]}
    if told["started_on"] is not None:
        metadata["startedOn"] = told["started_on"]
    if finished_on is not None:
        metadata["finishedOn"] = _moment(finished_on)
    byproducts = []
    if packages:
        byproducts.append(_content("packages", "text/plain", "".join(f"{line}\n" for line in packages).encode()))
    if energy:
        byproducts.append(_content("energy", "application/json", json.dumps(dict(energy), sort_keys=True).encode()))
    details: dict[str, Any] = {
        "builder": {"id": told["builder"], "version": {"headwater": environment.get("headwater", "")}},
        "metadata": metadata,
    }
    if byproducts:
        details["byproducts"] = byproducts
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": told["build_type"],
                "externalParameters": {"recipe": told["recipe"]},
                "internalParameters": {"attempt": told["attempt"], "environment": environment},
                "resolvedDependencies": told["depends"],
            },
            "runDetails": details,
        },
    }


def digest_of(value: Mapping[str, Any]) -> str:
    """Of a JSON object, written with sorted keys and no spaces."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def packages_digest(packages: Sequence[str]) -> str:
    """Of the lock: one line a package, in order."""
    return hashlib.sha256("".join(f"{line}\n" for line in packages).encode()).hexdigest()


def _content(name: str, media_type: str, data: bytes) -> dict[str, Any]:
    return {
        "name": name,
        "mediaType": media_type,
        "digest": {"sha256": hashlib.sha256(data).hexdigest()},
        "content": base64.b64encode(data).decode(),
    }


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
