"""From a repository's head to facts: files are read, links are followed, each within bounds. Writes nothing.

Links are followed as nobody in particular: what only some may see is taken as absent, so that no grade, reason or evidence can tell of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater import licensing
from headwater.blobs import ByteSource, MemorySource, read_all
from headwater.governance import reading
from headwater.governance.facts import (
    CODE,
    DATASET,
    MODEL,
    Facts,
    LicenceText,
    Linked,
    Result,
    Script,
    Weights,
)
from headwater.governance.following import follow, is_name, links_of, names_in, pinned_in
from headwater.governance.models import Link
from headwater.hub import cards, files
from headwater.hub.cards import Card
from headwater.hub.git import EntryKind, GitStore, Snapshot, TreeEntry
from headwater.hub.models import Repository
from headwater.hub.preview import weights as heads
from headwater.kernel import HeadwaterError, RepoId
from headwater.scanning import parquet as parquet_file
from headwater.scanning import strict_yaml
from headwater.scanning.models import Verdict
from headwater.web import Site

MAX_FILES = 20_000
MAX_SCRIPTS = 60
MAX_LICENCES = 12
MAX_SHARDS = 200
MAX_DATA_FILES = 24
MAX_REFS = 60
MAX_JSON_BYTES = 4 << 20
MAX_TEXT_BYTES = 400_000
MAX_TENSORS_COMPARED = 100_000

_LICENCE_FILE = re.compile(r"(?:^|/)(?:licen[cs]e|copying|unlicense|eula|terms)[^/]*$|^LICENSES/[^/]+$", re.IGNORECASE)
_OWN_LICENCE = re.compile(r"(?:licen[cs]e|copying)(?:\.(?:txt|md|rst))?$", re.IGNORECASE)
_OPAQUE = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".pkl", ".onnx", ".nemo", ".tflite", ".npz")
_REQUIREMENTS = re.compile(
    r"(?:requirements[^/]*\.txt|pyproject\.toml|uv\.lock|environment\.ya?ml|setup\.cfg|Pipfile\.lock)$"
)
_REPORT = re.compile(r"(?:^|/)[^/]*(?:report|paper|报告|论文)[^/]*\.(?:pdf|tex)$", re.IGNORECASE)
_SAMPLES = re.compile(
    r"(?:^|/)(?:samples?|examples?|outputs?|generations?)[^/]*(?:\.(?:jsonl?|md|txt|csv))$|^(?:samples|outputs)/",
    re.IGNORECASE,
)
_STEP = re.compile(r"(?:^|[-_/.])(?:step|checkpoint|ckpt|iter|epoch|tokens?|global_step|stage)[-_]?\d", re.IGNORECASE)
_DATA = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", ".json", ".txt", ".arrow")
_NO_DATA = re.compile(
    r"(?:^|/)(?:readme|licen[cs]e|requirements|dataset_infos?|config|report|provenance|\.)[^/]*$", re.IGNORECASE
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
PROVENANCE = "provenance.intoto.json"
ROLES = ("training", "inference", "evaluation", "preprocessing")


@dataclass(frozen=True)
class Gathered:
    """Facts, and what is kept of a repository beside them.

    Args:
        behind: linked repositories that are here and have not been graded yet.
    """

    facts: Facts
    links: Sequence[Link]
    licences: Sequence[str]
    shows: frozenset[str]
    behind: Sequence[RepoId] = ()


def gather(site: Site, repo: Repository) -> Gathered:
    """All that rules look at, at the repository's head; ``repo.head_commit`` is not None."""
    commit = repo.head_commit
    if commit is None:
        raise ValueError("an empty repository has no facts")
    card = cards.card_at(site, repo, commit)
    with site.part(GitStore).open(repo.id) as snap:
        looked = _Looking(site, repo, snap, str(commit), card)
        looked.look()
    links = links_of(card, looked.code_links())
    found, behind = site.db.read(follow, links)
    linked = [_at_its_commit(site, each, other) for each, other in found]
    return Gathered(looked.facts(linked), links, looked.licences, licensing.shown_words(card.text), behind)


def _at_its_commit(site: Site, linked: Linked, repo: Repository | None) -> Linked:
    """Code that is named at a commit is looked at there; a commit that it does not have pins nothing."""
    if repo is None or not linked.pinned or repo.head_commit is None:
        return linked
    try:
        with site.part(GitStore).open(repo.id) as snap:
            commit = snap.resolve(linked.pinned, repo.default_branch)
            # A branch moves; a commit's own id does not, however short it was written.
            if not str(commit).startswith(linked.pinned) or not snap.is_on_branch(commit):
                return dataclasses.replace(linked, pinned="")
            looked = _Looking(site, repo, snap, str(commit), Card(commit=None))
            looked.look_at_scripts()
    except HeadwaterError:
        return dataclasses.replace(linked, pinned="")
    roles = frozenset(role for script in looked.scripts if script.is_sound for role in script.roles)
    return dataclasses.replace(linked, commit=str(commit), pinned=str(commit), roles=roles)


# -- files


@dataclass
class _Looking:
    site: Site
    repo: Repository
    snap: Snapshot
    commit: str
    card: Card
    entries: dict[str, TreeEntry] = field(default_factory=dict)
    licences: Sequence[str] = ()
    is_open: bool = False
    licence_texts: list[LicenceText] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    is_matched: bool = False
    is_known: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    data_files: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def look_at_scripts(self) -> None:
        for entry in self.snap.iter_files(self.commit):
            if entry.kind is EntryKind.FILE:
                self.entries[entry.path] = entry
            if len(self.entries) >= MAX_FILES:
                break
        self._scripts()

    def look(self) -> None:
        self.look_at_scripts()
        self._licences()
        found = self._json("config.json")
        self.config = found if isinstance(found, dict) else {}
        if self.repo.kind.value == MODEL:
            self._weights()
            self._results()
        if self.repo.kind.value == DATASET:
            self._data()
        found = self._json(PROVENANCE)
        self.provenance = found if isinstance(found, dict) else {}

    # reading

    def _text(self, path: str, limit: int = MAX_TEXT_BYTES) -> str | None:
        entry = self.entries.get(path)
        if entry is None or entry.is_pointer or entry.size_bytes > limit:
            return None
        return self.snap.read_blob(entry.oid, limit_bytes=limit).decode("utf-8", errors="replace")

    def _json(self, path: str) -> Any:
        source = self._source(path)
        if source is None or source.size_bytes > MAX_JSON_BYTES:
            return None
        try:
            return orjson.loads(read_all(source, limit_bytes=MAX_JSON_BYTES))
        except (orjson.JSONDecodeError, HeadwaterError):
            return None

    def _source(self, path: str) -> ByteSource | None:
        entry = self.entries.get(path)
        if entry is None:
            return None
        if entry.sha256 is not None:
            try:
                return files.open_file(self.site, self.repo.id, entry.sha256)
            except files.LargeFileNotFound:
                return None
        if entry.size_bytes > MAX_JSON_BYTES:
            return None
        return MemorySource(self.snap.read_blob(entry.oid))

    # licences

    def _licences(self) -> None:
        paths = sorted(path for path in self.entries if _LICENCE_FILE.search(path) and path.count("/") <= 1)
        own: list[LicenceText] = []
        for path in paths[:MAX_LICENCES]:
            text = self._text(path)
            if text is None or not text.strip():
                continue
            found = licensing.read_licence(text)
            texts = [
                LicenceText(
                    path,
                    match.key,
                    match.kind,
                    match.containment,
                    found.n_words_beside,
                    tuple((_bytes(text, c.start), _bytes(text, c.end)) for c in match.changes[:5]),
                )
                for match in found.matches
            ] or [LicenceText(path, "", "", 0.0, found.n_words_beside)]
            if _OWN_LICENCE.fullmatch(path):
                own += texts
            self.licence_texts += texts
        own = own or (self.licence_texts if len({text.path for text in self.licence_texts}) == 1 else [])
        # What is its own comes first: rules look there.
        self.licence_texts = [*own, *(text for text in self.licence_texts if text not in own)]
        self._choose_licence(own)

    def _choose_licence(self, own: Sequence[LicenceText]) -> None:
        """Its text says under which licence it is; without one, what the card says."""
        declared = self.declared
        known = [text for text in own if text.key]
        if known:
            agreed = [text for text in known if any(licensing.same_licence(one, text.key) for one in declared)]
            chosen = agreed or known
            self.licences = tuple(dict.fromkeys(text.key for text in chosen))
            beside = 0 if len(known) > 1 else known[0].n_words_beside
            self.is_open = not beside and all(
                text.kind == licensing.EXACT and licensing.is_open(text.key) for text in chosen
            )
            return
        if own:
            return  # a text that nobody knows; what the card calls it does not change what it says
        keys = [licensing.keys_of(one) for one in declared]
        self.licences = tuple(found[0] for found in keys if found)
        self.is_open = bool(keys) and all(found and licensing.is_open(found[0]) for found in keys)

    @property
    def declared(self) -> list[str]:
        """As the card says it; PostgreSQL keeps no NUL."""
        return [name.replace("\0", "\ufffd") for name in self._declared()]

    def _declared(self) -> list[str]:
        value = self.card.data.get("license")
        found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        names = [each.strip().lower() for each in found if isinstance(each, str) and each.strip()][:5]
        own_name = self.card.data.get("license_name")
        if names == ["other"] and isinstance(own_name, str) and own_name.strip():
            return [own_name.strip()[:80]]
        return names

    # code

    def _scripts(self) -> None:
        for path in sorted(self.entries, key=lambda each: (each.count("/"), each)):
            if len(self.scripts) >= MAX_SCRIPTS:
                return
            if path.endswith(".py"):
                text = self._text(path, reading.MAX_SCRIPT_BYTES)
                if text is not None:
                    roles, is_sound = reading.roles_of(path, text)
                    if roles or self.repo.kind.value == CODE:
                        self.scripts.append(Script(path, roles, is_sound))
            elif path.endswith((".yaml", ".yml")) and path.count("/") <= 1:
                role = self._recipe_role(path)
                if role:
                    self.scripts.append(Script(path, frozenset({role})))

    def _recipe_role(self, path: str) -> str:
        """Of a recipe that this site runs: what it does; "" for any other file."""
        text = self._text(path, 64 << 10)
        if text is None or "kind:" not in text:
            return ""
        try:
            found = strict_yaml.load(text)
        except strict_yaml.BadYaml:
            return ""
        kind = found.get("kind") if isinstance(found, dict) and isinstance(found.get("outputs"), dict) else None
        return reading.RECIPES.get(kind, "") if isinstance(kind, str) else ""

    def code_links(self) -> list[tuple[str, str, str]]:
        """(role, name, revision) of code that the card names: in ``code``, and by links to repositories of this site."""
        given = self.card.data.get("code")
        found: list[tuple[str, str, str]] = []
        if isinstance(given, dict):
            for role, value in given.items():
                found += [(role if role in ROLES else "code", *pinned_in(name)) for name in names_in(value)]
        else:
            found += [("code", *pinned_in(name)) for name in names_in(given)]
        pattern = re.compile(
            rf"(?:{re.escape(self.site.base_url)}|\]\()/?spaces/([\w.-]+/[\w.-]+)(?:/(?:tree|blob|commit)/([0-9a-f]{{40}}))?"
        )
        named = {name.casefold() for _, name, _ in found}
        for name, commit in pattern.findall(self.card.text)[:20]:
            if name.casefold() not in named:
                found.append(("code", name, commit))
        return [each for each in dict.fromkeys(found) if is_name(each[1])][:50]

    # weights

    def _weights(self) -> None:
        names = sorted(path for path in self.entries if path.endswith((".safetensors", ".gguf")))
        names = [path for path in names if not _STEP.search(path.rpartition("/")[0])]
        tensors: list[tuple[str, str, tuple[int, ...]]] = []
        for path in names[:MAX_SHARDS]:
            self.weights.append(self._one_file(path, tensors))
        self._index(tensors)
        model_type = self.config.get("model_type")
        if isinstance(model_type, str):
            self.is_known = self.is_known or reading.knows_architecture(model_type)
        if self.config and any(each.format == "safetensors" for each in self.weights):
            self.mismatches, self.is_matched = reading.mismatches_of(self.config, tensors)

    def _one_file(self, path: str, tensors: list[tuple[str, str, tuple[int, ...]]]) -> Weights:
        form = path.rpartition(".")[2]
        source = self._source(path)
        if source is None:
            return Weights(path, form, problem="its bytes are not here")
        try:
            head = heads.safetensors_header(source) if form == "safetensors" else heads.gguf_header(source)
        except heads.BadWeights as exc:
            return Weights(path, form, problem=exc.message)
        if form == "gguf":
            name = head.metadata.get("general.architecture")
            self.is_known = self.is_known or (isinstance(name, str) and reading.knows_architecture(name, is_gguf=True))
        elif len(tensors) < MAX_TENSORS_COMPARED:
            tensors.extend((tensor.name, tensor.dtype, tensor.shape) for tensor in head.tensors)
        return Weights(path, form, head.n_parameters)

    def _index(self, tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> None:
        """What the index of shards promises must be there."""
        index = self._json("model.safetensors.index.json")
        found = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(found, dict):
            return
        shards = {str(name) for name in found.values()}
        missing = sorted(shards - self.entries.keys())
        for name in missing[:5]:
            self.weights.append(Weights(name[:200], "safetensors", problem="the index names it, and it is not there"))
        if not missing and len(tensors) < MAX_TENSORS_COMPARED:
            lost = found.keys() - {name for name, _, _ in tensors}
            if lost:
                self.mismatches.append(f"{len(lost)} tensors of the index are in no file")

    def _checkpoints(self) -> list[str]:
        """Folders, tags and branches with a step in their names, each with other weights."""
        found: dict[str, str] = {}
        for path, entry in self.entries.items():
            folder = path.rpartition("/")[0]
            if path.endswith((".safetensors", ".bin", ".pt")) and folder and _STEP.search(folder):
                found.setdefault(folder, entry.sha256 or entry.oid)
        names = [
            name for name in self.snap.refs if name.startswith(("refs/heads/", "refs/tags/")) and _STEP.search(name)
        ]
        for name in sorted(names)[:MAX_REFS]:
            try:
                commit = self.snap.resolve(name)
                entries = self.snap.list_tree(commit, "", recursive=False, limit=200)
            except HeadwaterError:
                continue
            for entry in entries:
                if entry.path.endswith((".safetensors", ".bin", ".pt", ".gguf")):
                    found.setdefault(name.split("/", 2)[2], entry.sha256 or entry.oid)
                    break
        different: dict[str, str] = {}
        for name, digest in found.items():
            different.setdefault(digest, name)
        return sorted(different.values())

    # results, data, provenance

    def _results(self) -> None:
        self.results = reading.results_of_card(self.card.data)[0]
        paths = [
            p
            for p in self.entries
            if p.endswith(".json") and re.search(r"(?:^|/)(?:results?|eval)[^/]*(?:/|\.json$)", p)
        ]
        for path in sorted(paths)[:20]:
            self.results += reading.results_of_file(path, self._json(path))

    def _data(self) -> None:
        paths = [path for path in self.entries if path.lower().endswith(_DATA) and not _NO_DATA.search(path)]
        for path in sorted(paths)[:MAX_DATA_FILES]:
            (self.data_files if self._has_rows(path) else self.unreadable).append(path)

    def _has_rows(self, path: str) -> bool:
        entry = self.entries[path]
        if not entry.size_bytes:
            return False
        source = self._source(path)
        if source is None and entry.sha256 is None:  # long, and in git itself
            source = MemorySource(self.snap.read_blob(entry.oid))
        if source is None:
            return False
        try:
            if path.endswith(".parquet"):
                return parquet_file.judge(_Reader(source)).verdict is Verdict.CLEAN
            start = read_all(source, 0, 64 << 10)
        except (HeadwaterError, OSError, ValueError):
            return False
        if path.endswith((".jsonl", ".ndjson")):
            line = start.split(b"\n", 1)[0]
            return len(start) > len(line) + 1 or _is_json(line) if len(line) >= 64 << 10 else _is_json(line)
        if path.endswith((".csv", ".tsv")):
            return len([line for line in start.split(b"\n") if line.strip()]) > 1
        if path.endswith(".json"):
            return start.lstrip()[:1] in (b"[", b"{") and len(start.strip()) > 2
        return bool(start.strip())

    def _is_provenance_right(self) -> bool:
        """Whether the statement's subjects are files of this repository with these digests, weights or data among them."""
        subjects = self.provenance.get("subject")
        if not isinstance(subjects, list) or not subjects:
            return False
        named: set[str] = set()
        for subject in subjects[:5000]:
            name = subject.get("name") if isinstance(subject, dict) else None
            digest = subject.get("digest") if isinstance(subject, dict) else None
            sha256 = digest.get("sha256") if isinstance(digest, dict) else None
            if not isinstance(name, str) or name in named:  # what is named twice is no statement of ours
                return False
            entry = self.entries.get(name)
            if entry is None or not isinstance(sha256, str) or self._digest(entry) != sha256:
                return False
            named.add(name)
        ours = {each.path for each in self.weights if not each.problem} or set(self.data_files)
        return bool(ours) and ours <= named

    def _digest(self, entry: TreeEntry) -> str:
        if entry.sha256 is not None:
            return entry.sha256
        if entry.size_bytes > 64 << 20:
            return ""
        return hashlib.sha256(self.snap.read_blob(entry.oid)).hexdigest()

    def _hardware(self) -> str:
        predicate = self.provenance.get("predicate")
        if isinstance(predicate, dict) and "hardware" in orjson.dumps(predicate).decode():
            return "provenance"
        emissions = self.card.data.get("co2_eq_emissions")
        said = isinstance(emissions, dict) and bool(emissions.get("hardware_used"))
        return "card" if said or reading.sections_of(self.card.text).get("hardware", 0) >= 4 else ""

    def facts(self, linked: Sequence[Linked]) -> Facts:
        text = self.card.text
        model_type = self.config.get("model_type")
        paths = sorted(self.entries)
        is_model = self.repo.kind.value == MODEL
        return Facts(
            kind=self.repo.kind.value,
            path=self.repo.path,
            commit=self.commit,
            is_gated=bool(self.repo.gated),
            declared_licences=tuple(self.declared),
            licence=self.licences[0] if self.licences else "",
            is_open_licence=self.is_open,
            licence_texts=tuple(self.licence_texts),
            n_words=reading.count_words(text),
            sections=reading.sections_of(text),
            weights=tuple(self.weights),
            mismatches=tuple(self.mismatches),
            is_matched=self.is_matched,
            has_opaque_weights=any(path.lower().endswith(_OPAQUE) for path in paths),
            claimed_parameters=tuple(reading.claimed_parameters(text)) if is_model else (),
            model_type=model_type[:80] if isinstance(model_type, str) else "",
            is_known_architecture=self.is_known,
            scripts=tuple(self.scripts),
            data_files=tuple(self.data_files),
            unreadable_data=tuple(self.unreadable),
            linked=tuple(linked),
            checkpoints=tuple(self._checkpoints()) if is_model else (),
            results=tuple(self.results),
            papers=tuple(reading.papers_of(text)),
            documents=tuple(path for path in paths if _REPORT.search(path))[:5],
            samples=tuple(path for path in paths if _SAMPLES.search(path) and path.count("/") <= 1)[:5],
            requirements=tuple(path for path in paths if _REQUIREMENTS.fullmatch(path))[:5],
            has_tokenizer=any(path in self.entries for path in _TOKENIZERS),
            hardware=self._hardware(),
            provenance=PROVENANCE if self.provenance else "",
            is_provenance_right=bool(self.provenance) and self._is_provenance_right(),
        )


@dataclass(frozen=True)
class _Reader:
    """A source as ``scanning`` reads it."""

    source: ByteSource

    @property
    def size_bytes(self) -> int:
        return self.source.size_bytes

    def read_at(self, start: int, count: int) -> bytes:
        return read_all(self.source, start, min(self.source.size_bytes, start + count), limit_bytes=64 << 20)


def _bytes(text: str, characters: int) -> int:
    return len(text[:characters].encode())


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
