"""An invented site of any size, row by row: who owns what, what cards say, which files there are, who liked and fetched what.

Everything is a function of the seed and of the number of the repository, so that pieces can be made side by side. Texts are of Debian's
``manpages-zh`` and ``python3.11-doc``; tags, documents and ranks come from the very functions that index real repositories.
"""

from __future__ import annotations

import bisect
import functools
import gzip
import hashlib
import itertools
import math
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from bench.search_bench import CHINESE, ENGLISH, FAMILIES, RARE
from headwater.hub.cards.models import Card
from headwater.hub.cards.tags import FileFacts, derive
from headwater.hub.cards.vocabulary import PIPELINE_TAGS
from headwater.hub.git.models import BuiltPack
from headwater.hub.git.objects import format_commit, format_tree
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.pointers import format_pointer
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.search import documents, segment, upkeep
from headwater.hub.search.documents import _MARKUP, Body, body_of, document_of, facets_of, filters_of
from headwater.hub.search.ranks import rank_of
from headwater.kernel import AccountId, CommitId, RepoId

NOW = datetime.now(UTC).replace(microsecond=0)
N_PROFILES = 3000
N_TEMPLATES = 60
WITH_GIT_EVERY = 50  # so many repositories have one with real git objects
PRIVATE, GATED, DELETED = 0.05, 0.03, 0.005
ACTIVE = 0.12  # fetched in the last thirty days
KINDS = [RepoKind.MODEL] * 7 + [RepoKind.DATASET] * 2 + [RepoKind.SPACE]

LICENCES = ["apache-2.0", "mit", "llama3", "cc-by-4.0", "openrail", "gemma", "cc-by-sa-4.0", "cc-by-nc-4.0", "mulanpsl-2.0",
            "gpl-3.0", "bsd-3-clause", "afl-3.0", "cc0-1.0", "odc-by", "unknown", "other"]  # fmt: skip
LANGUAGES = ["en", "zh", "fr", "de", "ja", "ko", "es", "ru", "pt", "it", "ar", "hi", "vi", "tr", "nl", "pl", "id", "th", "uk", "sv",
             "no", "sw"]  # fmt: skip
LIBRARIES = [
    "transformers",
    "diffusers",
    "peft",
    "gguf",
    "sentence-transformers",
    "timm",
    "mlx",
    "spacy",
    "keras",
    "fastai",
]
TASKS = ["text-generation", *sorted(PIPELINE_TAGS - {"text-generation"}, reverse=True)]
TASK_CATEGORIES = ["text-generation", "text-classification", "question-answering", "translation", "image-classification",
                   "automatic-speech-recognition", "summarization", "token-classification", "tabular-classification"]  # fmt: skip
SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"]

documents.mark_of_tag = functools.lru_cache(maxsize=100_000)(documents.mark_of_tag)

Rows = dict[str, list[tuple[Any, ...]]]
COLUMNS: dict[str, tuple[str, ...]] = {
    "account": ("id", "kind", "name", "name_key", "full_name", "created_at"),
    "membership": ("org_id", "account_id", "role", "since"),
    "follow": ("followed_id", "follower_id", "created_at"),
    "repository": (
        "id", "kind", "owner_id", "namespace", "name", "sdk", "is_private", "gated", "head_commit", "version", "created_by",
        "created_at", "updated_at", "deleted_at", "size_bytes", "n_likes", "n_downloads", "trending_score",
    ),
    "repository_name": ("kind", "name_key", "repo_id", "state"),
    "ref": ("repo_id", "name", "oid", "updated_at"),
    "pack": ("id", "repo_id", "name", "size_bytes", "n_objects", "is_inline", "created_at"),
    "pack_bytes": ("pack_id", "pack", "idx"),
    "blob": ("sha256", "size_bytes", "layout", "state", "created_at"),
    "lfs_pointer": ("oid", "sha256", "size_bytes"),
    "file_right": ("repo_id", "sha256", "pull", "filename", "uploaded_by", "created_at"),
    "card": (
        "repo_id", "kind", "commit_id", "library", "pipeline_tag", "n_parameters", "n_files", "used_storage_bytes", "indexed_at",
        "tags", "data", "problems", "facts", "text",
    ),
    "default_file": ("repo_id", "path", "oid", "size_bytes", "sha256", "pointer_size"),
    "repository_tag": ("kind", "tag", "repo_id"),
    "search_entry": ("rank", "repo_id", "is_public", "n_parameters", "facets"),
    "search_document": ("rank", "name", "parts", "body", "chars", "marks"),
    "repo_like": ("repo_id", "account_id", "created_at"),
    "download_day": ("repo_id", "day", "n"),
    "download_total": ("repo_id", "n"),
    "discussion": (
        "repo_id", "num", "public_id", "is_pull", "title", "status", "author_id", "n_comments", "created_at", "updated_at",
    ),
    "entry": ("kind", "repo_id", "account_id", "is_private", "leaf", "created_at"),
}  # fmt: skip
# The order in which rows may be written: what is pointed at comes first.
ORDER = tuple(COLUMNS)
# Primary keys that are not in the order of repositories: rows are sorted before they are written.
SORTED = {"repository_tag", "search_entry", "search_document", "repository_name"}


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@dataclass(frozen=True)
class Template:
    """A tree of files with its commit, shared by many repositories."""

    files: tuple[tuple[str, str, int, str | None, int | None], ...]  # path, oid, size, sha256, pointer size
    commit: str
    pack: BuiltPack
    size_bytes: int


@dataclass(frozen=True)
class Profile:
    """Front matter and what follows from it, shared by many repositories."""

    kind: RepoKind
    data: dict[str, Any]
    tags: tuple[str, ...]
    library: str | None
    pipeline_tag: str | None
    template: int


class World:
    """What all pieces share."""

    def __init__(self, n_repositories: int, seed: int) -> None:
        self.n, self.seed = n_repositories, seed
        self.n_accounts = max(20, n_repositories // 10)
        self.n_people = self.n_accounts * 17 // 20  # the others are organisations
        self.chinese, self.english = _sentences()
        rng = random.Random(seed)
        self.words = sorted({word for text in self.english[:4000] for word in re.findall(r"[a-z]{4,9}", text)})
        self.templates = {kind: [_template(rng, kind, n) for n in range(N_TEMPLATES)] for kind in RepoKind}
        self.by_commit = {(kind, each.commit): each for kind, every in self.templates.items() for each in every}
        self.profiles = {kind: [self._profile(rng, kind) for _ in range(N_PROFILES)] for kind in RepoKind}
        # The first owner of a hub of a million has about one in fifty repositories.
        self.owner_weights = list(itertools.accumulate(1 / (rank + 1) ** 0.8 for rank in range(self.n_accounts)))
        self.profile_weights = list(itertools.accumulate(1 / (rank + 5) ** 0.7 for rank in range(N_PROFILES)))

    def account_name(self, account_id: int) -> str:
        if account_id == 8:
            return "owner7"
        return f"{self.words[account_id * 7919 % len(self.words)]}-{account_id}"

    def owner_of(self, repo_id: int) -> int:
        share = _mixed(repo_id, 1) / (1 << 32)
        return 1 + bisect.bisect(self.owner_weights, share * self.owner_weights[-1], hi=self.n_accounts - 1)

    def kind_of(self, repo_id: int) -> RepoKind:
        return KINDS[_mixed(repo_id, 3) % len(KINDS)]

    def name_of(self, repo_id: int) -> str:
        at = _mixed(repo_id, 2)
        if self.kind_of(repo_id) is RepoKind.MODEL:
            size = (0.1, 0.5, 1, 3, 7, 13, 70)[at % 7]
            last = ("Chat", "Base", "Instruct", "GGUF", "AWQ", "zh")[at // 7 % 6]
            return f"{FAMILIES[at // 42 % len(FAMILIES)]}{at // 1024 % 4 + 1}-{size}B-{last}-{repo_id}"
        return f"{self.words[at % len(self.words)]}-{ENGLISH[at // 4096 % len(ENGLISH)]}-{repo_id}"

    def full_name(self, repo_id: int) -> str:
        return f"{self.account_name(self.owner_of(repo_id))}/{self.name_of(repo_id)}"

    def has_git(self, repo_id: int) -> bool:
        return repo_id % WITH_GIT_EVERY == 0

    def _profile(self, rng: random.Random, kind: RepoKind) -> Profile:
        data: dict[str, Any] = {"license": _often(rng, LICENCES)}
        languages = sorted({_often(rng, LANGUAGES) for _ in range(rng.randint(1, 3))})
        tags = [f"tag{int(rng.paretovariate(0.5)) % 30_000}" for _ in range(rng.randint(0, 4))] + [rng.choice(ENGLISH)]
        if kind is RepoKind.MODEL:
            data |= {"language": languages, "pipeline_tag": _often(rng, TASKS), "tags": tags}
            if rng.random() < 0.8:
                data["library_name"] = _often(rng, LIBRARIES)
            if rng.random() < 0.4:
                data["datasets"] = [f"corpus/{rng.choice(self.words)}" for _ in range(rng.randint(1, 3))]
        elif kind is RepoKind.DATASET:
            data |= {"language": languages, "task_categories": [_often(rng, TASK_CATEGORIES)], "size_categories": [rng.choice(SIZES)],
                     "pretty_name": " ".join(rng.sample(self.words, 3)), "tags": tags}  # fmt: skip
        else:
            data |= {"title": " ".join(rng.sample(self.words, 2)), "sdk": "static", "emoji": "🌊", "tags": tags}
        template = rng.randrange(N_TEMPLATES)
        names = tuple(file[0] for file in self.templates[kind][template].files)
        text = (
            f"arxiv.org/abs/{rng.randint(17, 26)}{rng.randint(1, 12):02d}.{rng.randint(1, 400):05d}"
            if rng.random() < 0.2
            else ""
        )
        derived = derive(kind, data, text, FileFacts(names, {}))
        return Profile(kind, data, derived.tags, derived.library, derived.pipeline_tag, template)


def _mixed(number: int, salt: int) -> int:
    """32 bits that look like chance, quicker than a generator of their own."""
    return zlib.crc32(b"%d" % number, salt * 0x9E3779B1 & 0xFFFFFFFF)


def _often(rng: random.Random, values: list[str]) -> str:
    """The first ones much more often than the last ones."""
    return values[min(int(len(values) * rng.random() ** 2.5), len(values) - 1)]


@functools.cache
def _sentences() -> tuple[list[str], list[str]]:
    chinese: list[str] = []
    for page in sorted(Path("/usr/share/man/zh_CN").rglob("*.gz"))[:1500]:
        text = re.sub(
            r"\\f.|^[.'].*$", "", gzip.decompress(page.read_bytes()).decode("utf-8", "replace"), flags=re.MULTILINE
        )
        chinese += [
            part.strip() for part in re.split(r"[。\n]", text) if 8 <= len(part.strip()) <= 120 and not part.isascii()
        ]
    english: list[str] = []
    for page in sorted(Path("/usr/share/doc/python3.11/html/_sources").rglob("*.txt"))[:400]:
        text = page.read_text("utf-8", "replace")
        english += [" ".join(part.split()) for part in re.findall(r"[A-Z][a-z][^.:`*|=]{30,220}\.", text)]
    if not chinese or not english:
        raise SystemExit(
            "Debian's packages manpages-zh and python3.11-doc are missing: apt-get install manpages-zh python3.11-doc"
        )
    return chinese, english


def _template(rng: random.Random, kind: RepoKind, number: int) -> Template:
    n_files = min(300, 1 + int(4 * rng.paretovariate(1.4)))
    paths = ["README.md", ".gitattributes"]
    if kind is RepoKind.MODEL:
        paths += ["config.json", "tokenizer.json", "model.Q4_K_M.gguf" if rng.random() < 0.2 else "model.safetensors"]
    elif kind is RepoKind.DATASET:
        paths += ["data/train-00000.parquet", "data/test-00000.parquet"]
    else:
        paths += ["index.html", "style.css"]
    paths += [
        f"part-{n // 40:02d}/file-{n:04d}.{rng.choice(['txt', 'json', 'py'])}" for n in range(n_files - len(paths))
    ]
    files = []
    writer = PackWriter(Path("/nonexistent"))
    folders: dict[str, list[tuple[int, bytes, bytes]]] = {"": []}
    for path in paths:
        folder, _, name = path.rpartition("/")
        content = f"{kind.value} {number} {path}\n{rng.getrandbits(64):x}\n".encode()
        size, sha256, pointer_size = len(content), None, None
        if path.endswith((".safetensors", ".gguf", ".parquet")):
            size, sha256 = int(1e6 * rng.paretovariate(0.6)), hashlib.sha256(content).hexdigest()
            content = format_pointer(sha256, size)
            pointer_size = len(content)
        oid = writer.add(3, content)
        folders.setdefault(folder, []).append((0o100644, name.encode(), oid))
        files.append((path, oid.hex(), size, sha256, pointer_size))
    for folder in sorted(folders, reverse=True):
        if folder:
            folders[""].append((0o040000, folder.encode(), writer.add(2, format_tree(_in_order(folders[folder])))))
    tree = writer.add(2, format_tree(_in_order(folders[""])))
    commit = writer.add(1, format_commit(tree.hex(), (), author_name="Ada", author_email="ada@example.org", author_s=1_760_000_000,
                                         committer_s=1_760_000_000, message="First\n"))  # fmt: skip
    return Template(tuple(files), commit.hex(), writer.finish(), sum(file[2] for file in files))


def _in_order(entries: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    return sorted(entries, key=lambda entry: entry[1] + (b"/" if entry[0] == 0o040000 else b""))


def shared_rows(world: World) -> Rows:
    """Accounts, and what is there once however many repositories there are."""
    rng = random.Random(world.seed + 1)
    rows: Rows = {"account": [], "membership": [], "follow": [], "blob": [], "lfs_pointer": []}
    began = micros(NOW - timedelta(days=900))
    for account_id in range(1, world.n_accounts + 1):
        is_person = account_id <= world.n_people
        name = world.account_name(account_id)
        rows["account"].append(
            (account_id, "person" if is_person else "organisation", name, name.casefold(), "", began)
        )
        if is_person:
            followed = {rng.randint(1, world.n_accounts) for _ in range(rng.choice([0, 0, 1, 3]))} - {account_id}
            rows["follow"] += [(other, account_id, began) for other in sorted(followed)]
        else:
            members = {rng.randint(1, world.n_people) for _ in range(min(40, int(2 * rng.paretovariate(1.1))))}
            rows["membership"] += [(account_id, member, 4, began) for member in sorted(members)]
    for template in itertools.chain(*world.templates.values()):
        for _, oid, size, sha256, pointer_size in template.files:
            if pointer_size is not None:
                rows["blob"].append((sha256, size, "plain", "live", began))
                rows["lfs_pointer"].append((oid, sha256, size))
    return rows


def rows_of(world: World, start: int, stop: int) -> Rows:
    """All rows of the repositories ``start`` to ``stop``."""
    rows: Rows = {name: [] for name in ORDER}
    for repo_id in range(start, stop):
        _add_repository(world, rows, repo_id)
    return rows


def invent(world: World, repo_id: int) -> tuple[random.Random, Repository, Card]:
    """One repository and its card, without counters."""
    rng = random.Random(world.seed * 1_000_003 + repo_id)
    kind, owner_id = world.kind_of(repo_id), world.owner_of(repo_id)
    profile = rng.choices(world.profiles[kind], cum_weights=world.profile_weights)[0]
    template = world.templates[kind][profile.template]
    data, tags = profile.data, profile.tags
    if kind is RepoKind.MODEL and rng.random() < 0.4:
        base = world.full_name(1 + int(rng.paretovariate(0.6)) % min(world.n, 20_000))
        data, tags = {**data, "base_model": base}, (*tags, f"base_model:{base}", f"base_model:finetune:{base}")
    created = NOW - timedelta(seconds=int(900 * 86_400 * rng.random() ** 2))
    card = Card(
        commit=CommitId(template.commit), text=_text(world, rng, repo_id), data=data, tags=tags, library=profile.library,
        pipeline_tag=profile.pipeline_tag,
        n_parameters=int(rng.choice([0.1, 0.5, 1, 3, 7, 13, 70]) * 1e9) if kind is RepoKind.MODEL and rng.random() < 0.7 else None,
        n_files=len(template.files), used_storage_bytes=template.size_bytes,
    )  # fmt: skip
    repo = Repository(
        id=RepoId(repo_id), kind=kind, owner_id=AccountId(owner_id), name=RepoName(world.account_name(owner_id), world.name_of(repo_id)),
        sdk="static" if kind is RepoKind.SPACE else None, is_private=rng.random() < PRIVATE,
        gated="auto" if kind is not RepoKind.SPACE and rng.random() < GATED else "", is_disabled=False, default_branch="main",
        head_commit=CommitId(template.commit), version=1, prune_epoch=0, created_by=AccountId(owner_id), created_at=created,
        updated_at=created + (NOW - created) * rng.random() ** 2, size_bytes=template.pack.size_bytes, n_likes=0, n_downloads=0,
        trending_score=0.0,
    )  # fmt: skip
    return rng, repo, card


def _text(world: World, rng: random.Random, repo_id: int) -> str:
    words = [rng.choice(CHINESE if rng.random() < 0.5 else ENGLISH) for _ in range(rng.randint(3, 15))]
    if rng.random() < 0.66:  # common words are common: two thirds of the cards speak of models
        words += ["模型", "model"]
    if repo_id % 25_000 == 11:
        words.append(RARE)
    lead = "".join(word if not word.isascii() else f" {word} " for word in words)
    told = [rng.choice(world.chinese if rng.random() < 0.5 else world.english) for _ in range(rng.randint(1, 5))]
    return f"# {world.name_of(repo_id)}\n\n{lead}\n\n" + "\n".join(told) + "\n"


def _add_repository(world: World, rows: Rows, repo_id: int) -> None:
    rng, repo, card = invent(world, repo_id)
    template = world.by_commit[repo.kind, str(repo.head_commit)]
    deleted = micros(NOW) if rng.random() < DELETED else None
    days = _days(rng)
    likes = _likes(world, rng, repo)
    score = _score(days, likes)
    n_downloads = sum(n for day, n in days if day >= (NOW - timedelta(days=upkeep.SHOWN_DAYS - 1)).date())
    created, updated, kind = micros(repo.created_at), micros(repo.updated_at), repo.kind.value
    rows["repository"].append((
        repo_id, kind, repo.owner_id, repo.name.namespace, repo.name.name, repo.sdk, repo.is_private, repo.gated, repo.head_commit,
        1, repo.owner_id, created, updated, deleted, repo.size_bytes, len(likes), n_downloads, score,
    ))  # fmt: skip
    rows["repository_name"].append((kind, str(repo.name).casefold(), repo_id, "deleted" if deleted else "current"))
    rows["entry"].append(("repository.created", repo_id, repo.owner_id, repo.is_private, _leaf(repo), created))
    if deleted:
        return
    rows["ref"].append((repo_id, "refs/heads/main", template.commit, updated))
    rows["pack"].append(
        (repo_id, repo_id, template.pack.name, template.pack.size_bytes, template.pack.n_objects, True, created)
    )
    if world.has_git(repo_id):
        rows["pack_bytes"].append((repo_id, template.pack.data, template.pack.idx))
    for path, oid, size, sha256, pointer_size in template.files:
        rows["default_file"].append((repo_id, path, oid, size, sha256, pointer_size))
        if sha256 is not None:
            rows["file_right"].append((repo_id, sha256, 0, path, repo.owner_id, created))
    text = orjson.dumps
    rows["card"].append((
        repo_id, kind, card.commit, card.library, card.pipeline_tag, card.n_parameters, card.n_files, card.used_storage_bytes, updated,
        text(card.tags).decode(), text(dict(card.data)).decode(), "[]", "{}", card.text,
    ))  # fmt: skip
    filters = filters_of(repo, card)
    rows["repository_tag"] += [(kind, tag, repo_id) for tag in filters]
    rank = rank_of(repo.kind, repo_id, score, len(likes), n_downloads)
    rows["search_entry"].append((rank, repo_id, not repo.is_private, card.n_parameters, facets_of(repo.kind, filters)))
    rows["search_document"].append((rank, *_document(repo, card, filters)))
    rows["repo_like"] += [(repo_id, account_id, micros(at)) for account_id, at in likes]
    rows["download_day"] += [(repo_id, day.isoformat(), n) for day, n in days]
    if days:
        rows["download_total"].append((repo_id, sum(n for _, n in days)))
    if rng.random() < 0.03:
        for num in range(1, 1 + int(rng.paretovariate(1.2)) % 20):
            public_id = f"{repo_id * 64 + num:024x}"
            state = rng.choice(["open", "closed"])
            rows["discussion"].append(
                (
                    repo_id,
                    num,
                    public_id,
                    False,
                    rng.choice(world.english)[:200],
                    state,
                    rng.randint(1, world.n_people),
                    1,
                    created,
                    updated,
                )
            )


def _document(repo: Repository, card: Card, filters: set[str]) -> tuple[str, ...]:
    """As ``document_of(repo, body_of(card), filters)``, from pieces that are cut into words once: see ``check``."""
    fields = [str(card.data[key]) for key in ("title", "pretty_name") if key in card.data]
    words: list[str] = []
    chars: set[str] = set()
    ends_cjk = False
    for piece in (*fields, *card.tags, *card.data["tags"], *card.text.split("\n")):
        found = _cut(_MARKUP.sub(" ", piece))
        if not found[0]:
            continue
        if ends_cjk and found[2]:
            words.append(segment.BREAK)
        words.append(found[0])
        chars |= found[1]
        ends_cjk = found[3]
    made = document_of(repo, Body(" ".join(words), " ".join(sorted(chars))), filters)
    return made.name, made.parts, made.body, made.chars, made.marks


@functools.lru_cache(maxsize=200_000)
def _cut(text: str) -> tuple[str, frozenset[str], bool, bool]:
    """Words between spaces, CJK letters, and whether it begins and ends with such."""
    words = segment.words_of(text)
    chars = frozenset(segment.chars_of(text))
    return " ".join(words), chars, bool(words) and words[0][0] in chars, bool(words) and words[-1][-1] in chars


def check(world: World, n: int = 200) -> None:
    """That the short cut makes the very documents that the product makes."""
    for repo_id in range(1, min(n, world.n)):
        _, repo, card = invent(world, repo_id)
        filters = filters_of(repo, card)
        if asdict(document_of(repo, body_of(card), filters)) != dict(
            zip(("name", "parts", "body", "chars", "marks"), _document(repo, card, filters), strict=True)
        ):
            raise RuntimeError(f"the document of repository {repo_id} is not as the product makes it")


def _leaf(repo: Repository) -> str:
    facts = {"kind": repo.kind.value, "visibility": "private" if repo.is_private else "public"}
    names = {"subject": str(repo.name), "actor": repo.name.namespace, "facts": facts}
    return orjson.dumps({"v": 1, "kind": "repository.created", **names}).decode()


def _days(rng: random.Random) -> list[tuple[Any, int]]:
    if rng.random() >= ACTIVE:
        return []
    ages = sorted(rng.sample(range(35), rng.randint(1, 12)), reverse=True)
    return [((NOW - timedelta(days=age)).date(), min(10**6, int(rng.paretovariate(0.7)))) for age in ages]


def _likes(world: World, rng: random.Random, repo: Repository) -> list[tuple[int, datetime]]:
    n = min(int(rng.paretovariate(1.6)) - 1, 3000, world.n_people // 2)
    if n == 0:
        return []
    first = rng.randint(1, world.n_people)
    life = NOW - repo.created_at
    return [
        (1 + (first + i * 17) % world.n_people, NOW - life * rng.random() ** 1.5)
        for i in range(min(n, world.n_people // 17))
    ]


def _score(days: list[tuple[Any, int]], likes: list[tuple[int, datetime]]) -> float:
    """As ``upkeep.update_trending`` scores."""
    since = NOW - timedelta(days=upkeep.TRENDING_DAYS)
    liked = sum(2.0 ** (-((NOW - at) / timedelta(days=1)) / upkeep.HALF_LIFE_DAYS) for _, at in likes if at >= since)
    fetched = sum(
        n * 2.0 ** (-(NOW.date() - day).days / upkeep.HALF_LIFE_DAYS) for day, n in days if day >= since.date()
    )
    return round(upkeep.LIKE_WEIGHT * liked + math.log2(1 + fetched), 2)


def pieces(world: World, size: int) -> Iterator[tuple[int, int]]:
    for start in range(1, world.n + 1, size):
        yield start, min(start + size, world.n + 1)
