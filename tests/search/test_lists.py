"""Lists over a real database: what is found, by whom, in which order, and with how many statements."""

import contextlib
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, insert, select, text, update

from headwater import accounts
from headwater.accounts.tables import membership
from headwater.hub import search
from headwater.hub.models import RepoKind
from headwater.hub.search import Query, Sort, store, upkeep
from headwater.hub.search.documents import mark_of_tag
from headwater.hub.search.ranks import place_of, rank_of, repo_of
from headwater.hub.search.segment import chars_of, parts_of, terms_of, words_of
from headwater.hub.tables.community import repo_like
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import (
    RANK_TIERS,
    RANKS_OF_A_KIND,
    download_day,
    repository_tag,
    search_document,
    search_entry,
    tag_total,
)
from headwater.kernel import ANONYMOUS, SYSTEM, Actor, BadCursor, Grant, TokenLimits

MODEL = RepoKind.MODEL


# Bounds by which each plan of a list is the one that is taken: sorted, met on the way, met in part and then sorted, probed.
PLANS: tuple[dict[str, int], ...] = (
    {},
    {"SORTED": 0},
    {"SORTED": 0, "WALKED": 7},
    {"FEW": 5, "KNOWN": 5, "KNOWN_BY_WORDS": 5},
    {"FEW": 1, "KNOWN": 1, "KNOWN_BY_WORDS": 1},
)


def names(db, actor=ANONYMOUS, **asked):
    asked.setdefault("kind", MODEL)
    return [item.repo.name.name for item in db.read(search.list_repositories, actor, Query(**asked)).items]


@contextlib.contextmanager
def counting(db):
    statements = []

    def note(_conn, _cursor, statement, *_rest):
        statements.append(statement)

    event.listen(db._engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(db._engine, "before_cursor_execute", note)


def test_words_are_found_in_names_cards_and_tags(shelf):
    shelf.add(
        "ada",
        "SmolLM2-135M-Instruct",
        "---\ntags: [chat]\n---\nA small language model. 一个小型大语言模型，适合边缘设备。",
    )
    shelf.add("ada", "translator", "金融翻译模型")
    db = shelf.db
    for found in ("smol", "lm", "smollm2", "135m", "SmolLM2-135M", "smollm2-135m-inst", "ada/smollm2", "instruct", "chat",
                  "small language", "大语言模型", "语言", "大", "边缘设备", "型", "smol 模型", "language 语言"):  # fmt: skip
        assert names(db, text=found) == ["SmolLM2-135M-Instruct"] or found == "型", found
    assert set(names(db, text="型")) == {"SmolLM2-135M-Instruct", "translator"}
    assert names(db, text="型金") == []  # not across words that do not touch
    assert names(db, text="nothing like it") == []
    assert names(db, text='"* OR NEAR(a) -x:y') == []
    assert names(db, text="!!!") == []


def test_a_hit_in_the_name_comes_first(shelf):
    shelf.add("ada", "other", "bert bert bert bert")
    shelf.add("ada", "bert-base", "an encoder")
    assert names(shelf.db, text="bert")[0] == "bert-base"


WORDS = ["模型", "语言", "大", "翻译", "bert", "base", "7b", "Qwen2", "chat", "，", "金融"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), min_size=1, max_size=6),
    st.lists(st.sampled_from([*WORDS, "大语", "型语", "qwe", "ba"]), min_size=1, max_size=2),
)
def test_hit_sets_equal_a_brute_force_model(tmp_path_factory, documents, asked):
    from tests.search.conftest import Shelf
    from tests.storage import make_storage

    storage = make_storage(tmp_path_factory.mktemp("hits") / "data")
    shelf = Shelf(storage)
    for number, words in enumerate(documents):
        shelf.add("ada", f"{words[0] if words[0].isascii() else 'm'}-{number}", "".join(words))
    query = " ".join(asked)

    def holds(name, body):
        columns = [words_of(name), parts_of(name), words_of(body)]

        def has(phrase, where):
            return any(tuple(w[i : i + len(phrase)]) == phrase for w in where for i in range(len(w)))

        for term in terms_of(query):
            if term.is_char:
                good = term.words[0] in {*chars_of(name), *chars_of(body)}
            else:
                good = has(term.words, columns) or (
                    term.may_be_unfinished and has(term.words[:-1], columns[:1]) and has(term.words[-1:], columns[1:2])
                )
            if not good:
                return False
        return True

    rows = [(f"{w[0] if w[0].isascii() else 'm'}-{n}", "".join(w)) for n, w in enumerate(documents)]
    expected = {name for name, body in rows if holds(f"ada/{name}", body)} if terms_of(query) else set()
    for bounds, sort in [({}, None), *((bounds, Sort.MODIFIED) for bounds in PLANS)]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bounds.items():
                patch.setattr(store, name, value)
            assert set(names(storage.site.db, text=query, sort=sort)) == expected
    assert storage.site.db.read(search.count_repositories, ANONYMOUS, Query(MODEL, text=query)).n == len(expected)
    storage.site.db.close()


def check_index(db):
    """SQLite's index is kept up by triggers of ours, PostgreSQL's by itself."""
    if db.dialect == "sqlite":
        db.write(lambda tx: tx.execute(text("insert into search_index(search_index) values ('integrity-check')")))


def test_marks_are_no_words(shelf):
    """Those by which lists are narrowed stand in the same index as the words of texts."""
    mark = mark_of_tag("x")
    shelf.add("ada", "open", "---\ntags: [x]\n---\nnothing", gated="auto")
    shelf.add("ada", "hidden", f"vpublic gopen {mark}", private=True)
    for word in ("vpublic", "gopen", "ggated", mark, f"vpublic-gopen-{mark}"):
        assert names(shelf.db, SYSTEM, text=word) == ([] if word == "ggated" else ["hidden"]), word
    for word in ("vpublic", "vprivate", "ggated", "gopen", mark, f"vpublic-gopen-{mark}", "r1", "o1", "o1-r1-vpublic"):
        assert names(shelf.db, text=word) == [], word
        assert shelf.db.read(search.count_repositories, ANONYMOUS, Query(MODEL, text=word)).n == 0
    assert names(shelf.db, tags=("x",)) == ["open"]


def test_a_phrase_is_found_anywhere_in_a_long_text(shelf):
    """However many words stand before it, and however often its words stand alone: a tsvector would have lost them."""
    db = shelf.db
    shelf.add("ada", "far", "模型 " * 6000 + "语言模型" + "，大象" * 400)
    shelf.add("ada", "near", "语言，言模，模型")
    assert names(db, text="语言模型") == ["far"]
    assert names(db, text="语言") == ["near", "far"]
    shelf.add("ada", "wide", "one two " * 3000 + "three")
    assert names(db, text="two-three") == ["wide"]
    assert names(db, text="one-three") == []


def test_changed_and_deleted_documents_leave_no_stale_hits(shelf):
    repo_id = shelf.add("ada", "first", "---\ntags: [old]\n---\nkingfisher")
    db = shelf.db
    from tests.search.conftest import put_card

    db.write(put_card, repo_id, MODEL, "---\ntags: [new]\n---\nheron")
    assert names(db, text="kingfisher") == []
    assert names(db, text="heron") == ["first"]
    assert names(db, tags=("old",)) == []
    assert names(db, tags=("new",)) == ["first"]

    def rename_and_hide(tx):
        tx.execute(update(repository).values(name="second", is_private=True))
        search.refresh(tx, repo_id)

    db.write(rename_and_hide)
    assert names(db, text="first") == []
    assert names(db, text="second") == []
    assert names(db, SYSTEM, text="second") == ["second"]

    def delete(tx):
        tx.execute(update(repository).values(deleted_at=datetime.now(UTC)))
        search.refresh(tx, repo_id)

    db.write(delete)
    assert names(db, SYSTEM, text="heron") == []
    for table in (search_entry, search_document, repository_tag):
        assert db.read(lambda tx, table=table: tx.execute(select(func.count()).select_from(table)).scalar()) == 0
    assert db.read(lambda tx: tx.execute(select(func.sum(tag_total.c.n_public))).scalar()) == 0
    check_index(db)


def test_private_repositories_are_listed_to_those_who_may_read_them(shelf):
    db, storage = shelf.db, shelf.storage
    ada, bob, eve = (storage.person(name) for name in ("ada", "bob", "eve"))
    lab = storage.person("lab").account_id
    db.write(
        lambda tx: tx.execute(
            insert(membership).values(org_id=lab, account_id=bob.account_id, role=1, since=datetime.now(UTC))
        )
    )
    own = shelf.add("ada", "own", "---\ntags: [x]\n---\nno secret 秘密", private=True)
    shelf.add("lab", "ours", "---\ntags: [x]\n---\nno secret 秘密", private=True)
    shelf.add("lab", "open", "---\ntags: [x]\n---\nno secret 秘密")

    def fine(*grants):
        return replace(ada, limits=TokenLimits(1, "t", "fine", grants))

    cases = [
        (ANONYMOUS, {"open"}),
        (eve, {"open"}),
        (bob, {"open", "ours"}),
        (ada, {"open", "own"}),
        (Actor(eve.account_id, "eve", is_site_admin=True), {"open", "own", "ours"}),
        (SYSTEM, {"open", "own", "ours"}),
        (fine(), {"open"}),
        (fine(Grant("read", repo_id=own)), {"open", "own"}),
        (fine(Grant("read", account_id=lab)), {"open"}),  # a token never reaches further than its owner
        (replace(eve, limits=TokenLimits(1, "t", "fine", (Grant("read", repo_id=own),))), {"open"}),
    ]
    asked = [{}, {"text": "secret"}, {"text": "密"}, {"text": "no-secret"}, {"tags": ("x",)}, {"text": "secret", "sort": Sort.LIKES},
             {"text": "no-secret", "sort": Sort.LIKES}, {"tags": ("x",), "sort": Sort.MODIFIED}]  # fmt: skip
    for (actor, expected), query in itertools.product(cases, asked):
        assert set(names(db, actor, **query)) == expected, (actor, query)
        assert db.read(search.count_repositories, actor, Query(MODEL, **query)).n == len(expected)
        for item in db.read(search.list_repositories, actor, Query(MODEL, **query)).items:
            db.read(accounts.require, actor, accounts.Action.READ, on=item.repo.resource)


def test_a_list_believes_the_row_and_not_a_stale_index(shelf):
    shelf.add("ada", "now-private", "---\ntags: [x]\n---\nword")
    shelf.db.write(lambda tx: tx.execute(update(repository).values(is_private=True)))
    for query in ({}, {"text": "word"}, {"tags": ("x",)}, {"text": "word", "sort": Sort.LIKES}):
        assert names(shelf.db, **query) == []


def test_facets_and_lists_of_tags_tell_nothing_of_private_repositories(shelf):
    shelf.add("ada", "open", "---\nlicense: mit\nlanguage: zh\n---\n")
    hidden = shelf.add("ada", "hidden", "---\nlicense: gpl-3.0\ntags: [codename]\n---\n", private=True)
    db = shelf.db
    assert "license:gpl-3.0" not in str(db.read(search.tags_by_type, MODEL))
    assert "codename" not in str(db.read(search.tags_by_type, MODEL))
    facets = db.read(search.count_by_facet, ANONYMOUS, Query(MODEL))
    assert [(v.tag, v.label, v.count.n) for v in facets["license"]] == [("license:mit", "mit", 1)]
    assert db.read(search.count_by_facet, ANONYMOUS, Query(MODEL, tags=("codename",))) == {}

    def show(tx):
        tx.execute(update(repository).where(repository.c.id == hidden).values(is_private=False))
        search.refresh(tx, hidden)

    db.write(show)
    assert "codename" in str(db.read(search.tags_by_type, MODEL))


def test_filters(shelf):
    shelf.add(
        "ada",
        "a",
        "---\nlicense: mit\nlanguage: [zh, en]\nlibrary_name: transformers\npipeline_tag: fill-mask\n---\n",
        n_parameters=7_000_000_000,
    )
    shelf.add("ada", "b", "---\nlicense: mit\ndatasets: [lab/corpus]\n---\n", gated="auto", n_parameters=100)
    shelf.add("bob", "c", "---\nlanguage: en\n---\n", files=("x.gguf",))
    shelf.add("bob", "d", kind="dataset")
    shelf.add("bob", "e", "---\nlanguage: zh\n---\n", kind="dataset")
    db = shelf.db
    for asked, expected in [
        ({}, "abc"),
        ({"kind": RepoKind.DATASET}, "de"),
        ({"kind": RepoKind.DATASET, "tags": ("language:zh",)}, "e"),
        ({"author": "ADA"}, "ab"),
        ({"author": "nobody"}, ""),
        ({"author": "bob", "tags": ("gguf",)}, "c"),
        ({"author": "ada", "tags": ("gguf",)}, ""),
        ({"tags": ("license:mit",)}, "ab"),
        ({"tags": ("license:mit", "zh")}, "a"),
        ({"tags": ("language:en",)}, "ac"),
        ({"tags": ("library:transformers",)}, "a"),
        ({"tags": ("pipeline_tag:fill-mask",)}, "a"),
        ({"tags": ("fill-mask",)}, "a"),
        ({"tags": ("dataset:lab/corpus",)}, "b"),
        ({"tags": ("LICENSE:mit",)}, ""),
        ({"gated": True}, "b"),
        ({"gated": False}, "ac"),
        ({"gated": False, "tags": ("license:mit",)}, "a"),
        ({"min_parameters": 101}, "a"),
        ({"max_parameters": 1000}, "b"),
        ({"min_parameters": 1, "max_parameters": 10**12, "tags": ("zh",)}, "a"),
    ]:
        assert "".join(sorted(names(db, **asked))) == expected, asked
        for sort in Sort:
            assert "".join(sorted(names(db, **asked, sort=sort))) == expected, (asked, sort)
        query = Query(**{"kind": MODEL, **asked})
        assert db.read(search.count_repositories, ANONYMOUS, query).n == len(expected), asked
        assert db.read(search.summarise, ANONYMOUS, query).count.n == len(expected), asked


@pytest.mark.parametrize("sort", [Sort.TRENDING, Sort.MODIFIED, Sort.CREATED, Sort.DOWNLOADS, Sort.LIKES])
@pytest.mark.parametrize("asked", [{}, {"text": "common"}, {"tags": ("x",)}])
def test_pages_follow_one_another_in_order_without_gap_or_repetition(shelf, sort, asked, monkeypatch):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(23):
        repo_id = shelf.add("ada", f"r{n}", "---\ntags: [x]\n---\ncommon")
        values = {
            "updated_at": moment + timedelta(minutes=n // 3), "created_at": moment + timedelta(microseconds=n * 7 % 5),
            "n_downloads": n % 4, "n_likes": n * 5 % 7, "trending_score": n % 6 / 4,
        }  # fmt: skip
        shelf.db.write(
            lambda tx, i=repo_id, v=values: tx.execute(update(repository).where(repository.c.id == i).values(v))
        )
    usual = {name: getattr(store, name) for plan in PLANS for name in plan}
    for bounds in PLANS:
        for name, value in (usual | bounds).items():
            monkeypatch.setattr(store, name, value)
        seen, cursor = [], None
        while True:
            page = shelf.db.read(
                search.list_repositories, ANONYMOUS, Query(MODEL, sort=sort, limit=5, cursor=cursor, **asked)
            )
            seen += [item.repo for item in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        keys = [(getattr(repo, store.SORT_KEYS[sort]), repo.id) for repo in seen]
        assert keys == sorted(keys, reverse=True)
        assert len(set(keys)) == 23


def test_pages_by_relevance(shelf):
    for n in range(7):
        shelf.add("ada", f"r{n}", "common " * (n + 1))
    seen, cursor = [], None
    while True:
        page = shelf.db.read(search.list_repositories, ANONYMOUS, Query(MODEL, text="common", limit=3, cursor=cursor))
        seen += [item.repo.id for item in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "cursor", ["", "x", "bnVsbA", "WzEsMl0", "WyJsaWtlcyIsIngiLDFd", "WyJsYXN0TW9kaWZpZWQiLDFlMzAwLDFd", "é"]
)
def test_cursors_of_others_are_refused(shelf, cursor):
    for query in (
        Query(MODEL, cursor=cursor),
        Query(MODEL, cursor=cursor, text="a"),
        Query(MODEL, cursor=cursor, sort=Sort.MODIFIED),
    ):
        with pytest.raises(BadCursor):
            shelf.db.read(search.list_repositories, ANONYMOUS, query)


@pytest.mark.parametrize(
    "asked",
    [{}, {"text": "common"}, {"text": "模"}, {"tags": ("x",)}, {"author": "ada"}, {"text": "common", "sort": Sort.LIKES},
     {"min_parameters": 1}],
)  # fmt: skip
def test_a_page_keeps_a_constant_number_of_queries(shelf, asked):
    db, counts = shelf.db, []
    for n in range(12):
        shelf.add("ada", f"r{n}", "---\ntags: [x]\n---\ncommon 模型", n_parameters=5)
        if n in (1, 11):
            with counting(db) as statements:
                query = Query(MODEL, **asked)
                found = db.read(search.list_repositories, shelf.storage.person("ada"), query)
                db.read(search.count_repositories, shelf.storage.person("ada"), query)
                db.read(search.count_by_facet, shelf.storage.person("ada"), query)
            assert len(found.items) == n + 1
            counts.append(len(statements))
    assert counts[0] == counts[1] <= 24


@given(
    st.sampled_from(RepoKind), st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 10**9), st.floats(0, 10**7)
)
def test_ranks_are_those_of_what_is_better_known(kind, repo_id, likes, downloads, trending):
    rank = rank_of(kind, repo_id, trending, likes, downloads)
    assert 0 < rank < 1 << 63
    assert rank // RANKS_OF_A_KIND == place_of(kind)
    assert repo_of(rank) == repo_id
    assert rank_of(kind, repo_id + 1, trending, likes, downloads) < rank  # of equals the newer one comes first
    assert rank_of(kind, repo_id + 1, trending, likes, 0) > rank or downloads == 0
    assert rank_of(kind, repo_id, trending, likes * 2 + 1, 0) < rank
    assert rank_of(kind, repo_id, trending * 2 + 1, 0, 0) < rank


def test_tiers_begin_where_ranks_say():
    newest = (1 << 40) - 1
    for tier, known in enumerate([(8.0, 0, 0), (2.0, 0, 0), (0.0, 1, 0)]):
        assert rank_of(MODEL, 1, *known) < RANK_TIERS[tier]  # the last of those that are known so well
        assert rank_of(MODEL, newest, known[0] * 0.9, max(0, known[1] - 1), 0) >= RANK_TIERS[tier]


def test_downloads_are_counted_in_batches_and_rolled_by_day(shelf):
    db, site = shelf.db, shelf.storage.site
    repo_id = shelf.add("ada", "r")
    for _ in range(5):
        search.count_download(site, repo_id)
    assert names(db, sort=Sort.DOWNLOADS) == ["r"]
    search.flush_downloads(site)
    item = db.read(search.list_repositories, ANONYMOUS, Query(MODEL)).items[0]
    assert (item.repo.n_downloads, item.downloads_all_time) == (5, 5)
    later = datetime.now(UTC) + timedelta(days=40)
    assert upkeep.roll_downloads(site, now=later) == 1
    item = db.read(search.list_repositories, ANONYMOUS, Query(MODEL)).items[0]
    assert (item.repo.n_downloads, item.downloads_all_time) == (0, 5)
    assert db.read(lambda tx: tx.execute(select(func.sum(download_day.c.n))).scalar()) == 5


def test_what_is_liked_and_fetched_lately_trends_and_leads_the_static_rank(shelf):
    db, site = shelf.db, shelf.storage.site
    ids = [shelf.add("ada", f"r{n}", "common") for n in range(4)]
    ada = shelf.storage.person("ada").account_id
    now = datetime.now(UTC).replace(hour=12)  # an hour later it is still today, for whom downloads count by the day
    db.write(lambda tx: tx.execute(insert(repo_like).values(repo_id=ids[2], account_id=ada, created_at=now)))
    db.write(
        lambda tx: tx.execute(
            insert(repo_like).values(repo_id=ids[1], account_id=ada, created_at=now - timedelta(days=9))
        )
    )
    search.count_download(site, ids[3])
    search.flush_downloads(site)
    assert upkeep.update_trending(site, now=now) == 3
    assert names(db, sort=Sort.TRENDING) == ["r2", "r3", "r1", "r0"]
    assert upkeep.renumber(site) == 3  # r0 stays where it is: nobody knows it
    assert upkeep.renumber(site) == 0
    assert names(db, text="common") == ["r2", "r3", "r1", "r0"]
    check_index(db)
    assert upkeep.update_trending(site, now=now + timedelta(days=60)) == 3
    assert db.read(lambda tx: tx.execute(select(func.max(repository.c.trending_score))).scalar()) == 0
    assert upkeep.update_rising(site, now=now) == 2  # r1 was neither liked in the last hour nor fetched today
    assert upkeep.update_trending(site, now=now) == 1
    assert upkeep.update_trending(site, now=now + timedelta(hours=1)) == 0  # nobody would notice
    assert upkeep.daily(site, now=now)
    assert not upkeep.daily(site, now=now)
