"""From a commit to its card: README, names of files, ``config.json``, headers of weights. Reads git, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from headwater.blobs import ByteSource
from headwater.hub.cards import metadata, tags
from headwater.hub.cards.models import Card, Problem
from headwater.hub.git import EntryKind, Snapshot, TreeEntry
from headwater.hub.models import RepoKind
from headwater.kernel import CommitId, Sha256
from headwater.scanning import front_matter, strict_yaml

MAX_README_BYTES = 1 << 20
MAX_CONFIG_BYTES = 1 << 20
MAX_WEIGHT_FILES = 200

OpenLarge = Callable[[Sha256], ByteSource | None]
IsHeld = Callable[[str, str], bool]
"""(content, path) to whether the gate keeps it from strangers: a card is shown to everyone."""


def parse_readme(readme: str, kind: RepoKind) -> tuple[dict[str, Any], str, tuple[Problem, ...]]:
    """Front matter (empty when it cannot be read), body, and all that is wrong; never raises for what a stranger wrote."""
    yaml_text, body, line = front_matter.split(readme.replace("\0", "\ufffd"))  # which PostgreSQL keeps in no text
    if yaml_text is None:
        return (
            {},
            body,
            (
                Problem(
                    f"empty or missing yaml metadata in {'repo' if kind is RepoKind.SPACE else 'repo card'}",
                    is_error=False,
                ),
            ),
        )
    try:
        data = strict_yaml.load(yaml_text)
    except strict_yaml.BadYaml as exc:
        where = "" if exc.line is None else f" (line {exc.line + line - 1})"
        return {}, body, (Problem(f"YAML metadata: {exc.why}{where}"),)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return {}, body, (Problem("YAML metadata: it must be a list of fields, such as “license: mit”."),)
    return data, body, tuple(metadata.check(data, kind))


def read_card(
    snap: Snapshot, commit: CommitId, kind: RepoKind, *, is_held: IsHeld, open_large: OpenLarge | None = None
) -> Card:
    """The card of ``commit``, without what is held. Numbers out of large files (parameters) are only there when ``open_large`` can open
    them.
    """
    entries = snap.list_tree(commit, "", recursive=False, limit=2000)
    roots = {entry.path: entry for entry in entries}
    readme = roots.get("README.md")
    data: Mapping[str, Any] = {}
    body = ""
    problems: tuple[Problem, ...] = (Problem("There is no README.md.", is_error=False),)
    if readme is not None and is_held(readme.sha256 or readme.oid, readme.path):
        problems = (Problem("README.md is held back by the file gate, and not shown here. Its own page says why."),)
    elif readme is not None and readme.kind is EntryKind.FILE:
        data, body, problems = _read_readme(snap, readme, kind)
    names = [entry.path for entry in entries if entry.kind is EntryKind.FILE]
    if kind is RepoKind.DATASET and "data" in roots and roots["data"].kind is EntryKind.DIRECTORY:
        names += [
            e.path for e in snap.list_tree(commit, "data", recursive=False, limit=1000) if e.kind is EntryKind.FILE
        ]
    config = _read_json(snap, roots.get("config.json")) if kind is RepoKind.MODEL else {}
    derived = tags.derive(kind, data, body, tags.FileFacts(tuple(names), config))
    facts = _facts_of_config(config, derived)
    if open_large is not None and kind is RepoKind.MODEL:
        facts |= _facts_of_weights([each for each in entries if not is_held(each.sha256 or "", each.path)], open_large)
    return Card(
        commit=commit,
        readme_oid=readme.oid if readme is not None else None,
        text=body,
        data=data,
        problems=problems,
        tags=derived.tags,
        library=derived.library,
        pipeline_tag=derived.pipeline_tag,
        n_parameters=(facts.get("safetensors") or facts.get("gguf") or {}).get("total"),
        facts=facts,
    )


@lru_cache(maxsize=64)
def _parsed(content: bytes, kind: RepoKind) -> tuple[dict[str, Any], str, tuple[Problem, ...]]:
    text = content.decode("utf-8", errors="replace")
    data, body, problems = parse_readme(text, kind)
    if "\ufffd" in text:
        problems = (
            *problems,
            Problem("README.md is not valid UTF-8; what could not be read is shown as �.", is_error=False),
        )
    return data, body, problems


def _read_readme(
    snap: Snapshot, entry: TreeEntry, kind: RepoKind
) -> tuple[Mapping[str, Any], str, tuple[Problem, ...]]:
    if entry.is_pointer:
        return (
            {},
            "",
            (Problem("README.md is stored as a large file. Commit it as a regular file, so that it can be read."),),
        )
    if entry.size_bytes > MAX_README_BYTES:
        return {}, "", (Problem(f"README.md is larger than {MAX_README_BYTES >> 20} MiB and was not read."),)
    return _parsed(snap.read_blob(entry.oid, limit_bytes=MAX_README_BYTES), kind)


def _read_json(snap: Snapshot, entry: TreeEntry | None) -> Mapping[str, Any]:
    if entry is None or entry.kind is not EntryKind.FILE or entry.is_pointer or entry.size_bytes > MAX_CONFIG_BYTES:
        return {}
    try:
        found = orjson.loads(snap.read_blob(entry.oid, limit_bytes=MAX_CONFIG_BYTES))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _facts_of_config(config: Mapping[str, Any], derived: tags.Derived) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    architectures = metadata.texts(config.get("architectures"), limit=5)
    model_type = metadata.text(config.get("model_type"))
    if architectures or model_type:
        facts["config"] = {"architectures": architectures, "model_type": model_type}
        if isinstance(config.get("quantization_config"), dict):
            method = metadata.text(config["quantization_config"].get("quant_method"))
            facts["config"]["quantization_config"] = {"quant_method": method}
        positions = config.get("max_position_embeddings")
        if isinstance(positions, int) and 1 < positions < 1 << 40:
            facts["config"]["max_position_embeddings"] = positions
    if derived.auto_model is not None:
        facts["transformersInfo"] = {"auto_model": derived.auto_model, "pipeline_tag": derived.pipeline_tag}
    return facts


def _facts_of_weights(entries: list[TreeEntry], open_large: OpenLarge) -> dict[str, Any]:
    from headwater.hub.preview import weights

    found: dict[str, Any] = {}
    large = [entry for entry in entries if entry.sha256 is not None][:2000]
    shards = [entry for entry in large if entry.path.endswith(".safetensors")][:MAX_WEIGHT_FILES]
    total: dict[str, int] = {}
    for entry in shards:
        source = open_large(entry.sha256)  # type: ignore[arg-type]
        if source is None:
            continue
        try:
            header = weights.safetensors_header(source)
        except weights.BadWeights:
            continue
        for dtype, count in header.parameters_by_dtype().items():
            total[dtype] = total.get(dtype, 0) + count
    if total:
        found["safetensors"] = {"parameters": total, "total": sum(total.values())}
    gguf = next((entry for entry in large if entry.path.endswith(".gguf")), None)
    if gguf is not None and (source := open_large(gguf.sha256)) is not None:  # type: ignore[arg-type]
        try:
            described = weights.gguf_header(source)
        except weights.BadWeights:
            return found
        found["gguf"] = described.summary()
    return found
